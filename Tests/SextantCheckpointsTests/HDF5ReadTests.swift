import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// What the HDF5 reader accepts, and the numbers that it reads.
@Suite struct HDF5ReadTests {
  /// One model as an HDF5 file in three shapes of the format, and as safetensors.
  @Test(arguments: ["flat", "nested", "latest"])
  func readsTheTensorsOfTheSafetensorsForm(form: String) throws {
    let reference = try CheckpointSource.open(
      PackageFiles.fixture("mamba-tiny/huggingface/model.safetensors")
    ).checkpoint
    let source = try CheckpointSource.open(PackageFiles.fixture("mamba-tiny/hdf5/\(form).h5"))
    let checkpoint = source.checkpoint
    #expect(checkpoint.format == "hdf5")
    #expect(checkpoint.tensors == reference.tensors)
    for tensor in checkpoint.tensors {
      #expect(try checkpoint.bytes(of: tensor) == reference.bytes(of: tensor), "\(tensor.name)")
    }
    #expect(source.warnings.isEmpty)
    #expect((checkpoint.metadata["config"] != nil) == (form != "flat"))
    try checkpoint.checkUnchanged()
  }
}
