import SextantBytes
import SextantModels
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

/// The demo model of `fixtures/`, converted and opened.
package struct DemoModel {
  /// The converted checkpoint, in its own folder, which exists as long as this value.
  package let converted: ConvertedModel
  /// Its tokenizer.
  package let tokenizer: any Tokenizer

  /// Converts the checkpoint and opens it.
  package init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    tokenizer = try #require(converted.tokenizer)
  }

  /// The model, ready to run.
  package var model: any LanguageModel { converted.model }

  /// The model's file.
  package var store: ModelStore { converted.store }

  /// Writes the first lines of a file of the demo model.
  ///
  /// - Returns: the path of the new file, in the model's folder.
  package func firstLines(_ count: Int, of name: String) throws -> String {
    let all = try InputFile(PackageFiles.fixture("demo-model/\(name)")).readAll(limit: 1 << 26)
    let lines = all.split(separator: UInt8(ascii: "\n"), maxSplits: count)[..<count]
    return converted.folder.write(Array(lines.joined(separator: [0x0A])), to: "\(count)-\(name)")
  }
}
