extension Refusal {
  /// The stable names of all refusals. A published name never changes its meaning.
  public enum Code: String, Sendable, CaseIterable {
    // MARK: Any file
    case fileMissing = "file.missing"
    case fileNotRegular = "file.not-regular"
    case filePermission = "file.permission"
    case fileEmpty = "file.empty"
    case fileTooShort = "file.too-short"
    case fileChanged = "file.changed"
    case fileHTML = "file.html"
    case fileExtensionMismatch = "file.extension-mismatch"
    case fileSymlinkEscape = "file.symlink-escape"
    case fileSame = "file.same"
    case fileExists = "file.exists"
    case fileRead = "file.read"
    case fileCreate = "file.create"
    case fileWrite = "file.write"
    case fileUnknown = "file.unknown"
    case diskFull = "disk.full"
    case diskSync = "disk.fsync"
    case limitFile = "limit.file"
    case systemMemory = "system.memory"
    case systemDescriptors = "system.descriptors"
    case systemLibrary = "system.library"
    case systemRanks = "system.ranks"

    // MARK: JSON
    case jsonInvalid = "json.invalid"
    case jsonNotObject = "json.not-object"
    case jsonDuplicateKey = "json.duplicate-key"
    case jsonDepth = "json.depth"
    case jsonEncoding = "json.encoding"
    case jsonTrailing = "json.trailing"
    case jsonNumber = "json.number"
    case jsonTooLong = "json.too-long"

    // MARK: safetensors
    case safetensorsHeaderLength = "st.header-length"
    case safetensorsHeaderStart = "st.header-start"
    case safetensorsUnknownField = "st.unknown-field"
    case safetensorsDataType = "st.dtype"
    case safetensorsUnsupportedDataType = "st.dtype-unsupported"
    case safetensorsShape = "st.shape"
    case safetensorsOverflow = "st.overflow"
    case safetensorsOffsets = "st.offsets"
    case safetensorsSizeMismatch = "st.size-mismatch"
    case safetensorsHole = "st.hole"
    case safetensorsOverlap = "st.overlap"
    case safetensorsTrailingBytes = "st.trailing-bytes"
    case safetensorsTruncated = "st.truncated"
    case safetensorsMisaligned = "st.misaligned"
    case safetensorsMetadataType = "st.metadata-type"
    case safetensorsReservedName = "st.reserved-name"
    case safetensorsName = "st.name"
    case safetensorsCount = "st.count"
    case safetensorsNone = "st.none"

    // MARK: Sharded index
    case indexMissingShard = "index.missing-shard"
    case indexPath = "index.path"
    case indexValue = "index.value"
    case indexTensorMissing = "index.tensor-missing"
    case indexTensorExtra = "index.tensor-extra"
    case indexTensorTwice = "index.tensor-twice"
    case indexAmbiguous = "index.ambiguous"
    case indexIncompleteDownload = "index.incomplete-download"

    // MARK: HDF5
    case hdf5Signature = "h5.signature"
    case hdf5Superblock = "h5.superblock"
    case hdf5EndOfFile = "h5.eof"
    case hdf5OpenForWrite = "h5.open-for-write"
    case hdf5Invalid = "h5.invalid"
    case hdf5Address = "h5.address"
    case hdf5Depth = "h5.depth"
    case hdf5Objects = "h5.objects"
    case hdf5Cycle = "h5.cycle"
    case hdf5LinkExternal = "h5.link.external"
    case hdf5LinkSoft = "h5.link.soft"
    case hdf5LinkUserDefined = "h5.link.user-defined"
    case hdf5StorageExternal = "h5.storage.external"
    case hdf5StorageVirtual = "h5.storage.virtual"
    case hdf5StorageUnallocated = "h5.storage.unallocated"
    case hdf5Filter = "h5.filter"
    case hdf5FilterSize = "h5.filter.size"
    case hdf5Bomb = "h5.bomb"
    case hdf5Chunk = "h5.chunk"
    case hdf5DataType = "h5.datatype"
    case hdf5FloatType = "h5.datatype.float"
    case hdf5UnmarkedBFloat16 = "h5.bfloat16-unmarked"
    case hdf5Dataspace = "h5.dataspace"
    case hdf5Attribute = "h5.attribute"
    case hdf5Name = "h5.name"
    case hdf5DialectUnknown = "h5.dialect.unknown"
    case hdf5DialectAmbiguous = "h5.dialect.ambiguous"
    case hdf5KerasIndexGap = "h5.keras.index-gap"
    case hdf5KerasCount = "h5.keras.count"
    case hdf5KerasNames = "h5.keras.names"
    case hdf5ReaderMissing = "h5.reader.missing"
    case hdf5ReaderCrashed = "h5.reader.crashed"
    case hdf5ReaderTimeout = "h5.reader.timeout"
    case hdf5ReaderProtocol = "h5.reader.protocol"
    case hdf5ReaderUnconfined = "h5.reader.unconfined"

    // MARK: PyTorch
    case pytorchLegacy = "pth.legacy"
    case pytorchZip = "pth.zip"
    case pytorchZipDirectory = "pth.zip.directory"
    case pytorchZipMethod = "pth.zip.method"
    case pytorchZipName = "pth.zip.name"
    case pytorchZipCRC = "pth.zip.crc"
    case pytorchZipExtra = "pth.zip.extra"
    case pytorchVersion = "pth.version"
    case pytorchByteOrder = "pth.byteorder"
    case pytorchPickleOpcode = "pth.pickle.opcode"
    case pytorchPickleGlobal = "pth.pickle.global"
    case pytorchPickleStack = "pth.pickle.stack"
    case pytorchPickleMemo = "pth.pickle.memo"
    case pytorchPickleLength = "pth.pickle.length"
    case pytorchPickleRecursive = "pth.pickle.recursive"
    case pytorchStorageMissing = "pth.storage.missing"
    case pytorchStorageSize = "pth.storage.size"
    case pytorchTensorBounds = "pth.tensor.bounds"
    case pytorchTensorExpanded = "pth.tensor.expanded"
    case pytorchTensorKind = "pth.tensor.kind"
    case pytorchRoot = "pth.root"
    case pytorchKey = "pth.key"

    // MARK: Other zip archives
    case zipStructure = "zip.structure"
    case zipDirectory = "zip.directory"
    case zipMethod = "zip.method"
    case zipName = "zip.name"
    case zipCRC = "zip.crc"
    case zipMember = "zip.member"
    case zipDeflate = "zip.deflate"
    case zipBomb = "zip.bomb"

    // MARK: NumPy
    case numpyHeader = "npy.header"
    case numpyDataType = "npy.dtype"
    case numpyShape = "npy.shape"
    case numpySize = "npy.size"
    case numpyName = "npy.name"
    case numpyNone = "npy.none"

    // MARK: GGUF
    case ggufVersion = "gguf.version"
    case ggufCount = "gguf.count"
    case ggufTruncated = "gguf.truncated"
    case ggufTrailingBytes = "gguf.trailing-bytes"
    case ggufKey = "gguf.key"
    case ggufValue = "gguf.value"
    case ggufString = "gguf.string"
    case ggufDepth = "gguf.depth"
    case ggufAlignment = "gguf.alignment"
    case ggufSplit = "gguf.split"
    case ggufName = "gguf.name"
    case ggufShape = "gguf.shape"
    case ggufType = "gguf.type"
    case ggufOverflow = "gguf.overflow"
    case ggufOffset = "gguf.offset"

    // MARK: Model match
    case modelArchitecture = "model.architecture"
    case modelConfiguration = "model.config"
    case modelUnsupported = "model.unsupported"
    case modelTextLength = "model.text-length"
    case modelTensorMissing = "model.tensor-missing"
    case modelTensorUnexpected = "model.tensor-unexpected"
    case modelShape = "model.shape"
    case modelDataType = "model.dtype"
    case modelDialectUnknown = "model.dialect-unknown"
    case modelDialectAmbiguous = "model.dialect-ambiguous"
    case modelGroup = "model.group"
    case modelTied = "model.tied"
    case modelTransformed = "model.transformed"
    case modelAdapter = "model.adapter"
    case modelQuantised = "model.quantised"
    case modelOverflow = "model.overflow"
    case modelTokenizer = "model.tokenizer"
    case modelToken = "model.token"
    case modelState = "model.state"
    case modelNonfinite = "model.nonfinite"

    // MARK: Tokenizer
    case tokenizerUnsupported = "tokenizer.unsupported"
    case tokenizerInvalid = "tokenizer.invalid"

    // MARK: Native store
    case storeMagic = "store.magic"
    case storeVersion = "store.version"
    case storeEndianness = "store.endianness"
    case storeHeader = "store.header"
    case storeHeaderDigest = "store.header-digest"
    case storeTable = "store.table"
    case storePadding = "store.padding"
    case storeSize = "store.size"
    case storeTensorDigest = "store.tensor-digest"
    case storePartial = "store.partial"
    case storeRequiredFeature = "store.required-feature"
    case storeArchitecture = "store.architecture"
    case storeIdentity = "store.identity"

    // MARK: Artifacts
    case artifactFormat = "artifact.format"
    case artifactKind = "artifact.kind"
    case artifactVersion = "artifact.version"
    case artifactRequiredFeature = "artifact.required-feature"
    case artifactSchema = "artifact.schema"
    case artifactModelDigest = "artifact.model-digest"
    case artifactWidth = "artifact.width"
    case artifactSite = "artifact.site"
    case artifactNonfinite = "artifact.nonfinite"
    case artifactZero = "artifact.zero"
    case artifactScale = "artifact.scale"
    case artifactTensorMissing = "artifact.tensor-missing"
    case artifactTensorExtra = "artifact.tensor-extra"
    case artifactDigest = "artifact.digest"
    case artifactEmpty = "artifact.empty"
    case artifactProvenance = "artifact.provenance"
    case artifactConflict = "artifact.conflict"
    case artifactTokenizerDigest = "artifact.tokenizer-digest"
    case artifactClasses = "artifact.classes"
    case artifactRetrain = "artifact.retrain"

    // MARK: Export
    case exportFormat = "export.format"
    case exportInexpressible = "export.inexpressible"

    // MARK: Artifacts of other tools
    case foreignLayout = "foreign.layout"
    case foreignLayer = "foreign.layer"
    case foreignConvention = "foreign.layer-convention"
    case foreignOperation = "foreign.operation"

    // MARK: Text files
    case textKind = "text.kind"
    case textEncoding = "text.encoding"
    case textGzip = "text.gzip"

    // MARK: Training data
    case dataRecord = "data.record"
    case dataEmpty = "data.empty"
    case dataVariance = "data.variance"
    case dataTokenization = "data.tokenization"
    case dataShard = "data.shard"

    // MARK: Conversations
    case chatTemplate = "chat.template"
    case chatMessages = "chat.messages"

    // MARK: Usage
    case usageOption = "usage.option"
    case usageNothingSteered = "usage.nothing-steered"
    case usageLauncher = "usage.launcher"
    case usageRanks = "usage.ranks"
    case usageHandle = "usage.handle"
    case usageStopped = "usage.stopped"
  }
}

extension Refusal.Code {
  /// The exit status of a command that ends with this code (sysexits.h): 64 usage, 65 data,
  /// 66 no input, 73 cannot create, 74 input or output error, or something that the system lacks.
  package var exitStatus: Int32 {
    switch self {
    case .usageOption, .usageNothingSteered, .usageLauncher, .usageRanks, .usageHandle,
      .usageStopped:
      64
    case .fileMissing, .filePermission: 66
    case .fileExists, .fileCreate, .fileSame: 73
    case .fileRead, .fileWrite, .diskFull, .diskSync, .hdf5ReaderMissing: 74
    case .systemMemory, .systemDescriptors, .systemLibrary, .systemRanks, .hdf5ReaderUnconfined: 74
    default: 65
    }
  }
}
