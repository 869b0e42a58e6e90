// The public surface of the library: `import Sextant` shows these types and no others of its modules.

@_exported import struct SextantAnalysis.CaptureReader
// MARK: Data
@_exported import struct SextantAnalysis.ContrastPairs
@_exported import enum SextantAnalysis.ContrastSource
@_exported import struct SextantAnalysis.LabelledRecord
@_exported import struct SextantAnalysis.LabelledRecords
@_exported import struct SextantAnalysis.LensProgress
@_exported import enum SextantAnalysis.ProbeMethod
@_exported import struct SextantAnalysis.QuirkySubset
@_exported import struct SextantAnalysis.RidgeLensOptions
@_exported import struct SextantAnalysis.SelectedRecords
@_exported import enum SextantAnalysis.SteeringMethod
@_exported import enum SextantAnalysis.SteeringScale
@_exported import struct SextantAnalysis.TunedLensOptions
// MARK: Artifacts learned from a model
@_exported import struct SextantArtifacts.Artifact
@_exported import struct SextantArtifacts.ConceptEraser
@_exported import struct SextantArtifacts.Lens
@_exported import struct SextantArtifacts.PositionSelection
@_exported import struct SextantArtifacts.Probe
@_exported import struct SextantArtifacts.ProbeEntry
@_exported import struct SextantArtifacts.SteeringVector
// MARK: Errors and JSON
@_exported import struct SextantBytes.Digest
@_exported import struct SextantBytes.FormatError
@_exported import struct SextantBytes.JSONObject
@_exported import enum SextantBytes.JSONValue
// MARK: Checkpoints
@_exported import struct SextantConversion.ConversionOptions
@_exported import struct SextantConversion.ConversionReport
@_exported import struct SextantEvaluation.ChoiceTest
// MARK: Measures
@_exported import struct SextantEvaluation.Figure
@_exported import struct SextantEvaluation.LensEvaluation
@_exported import struct SextantEvaluation.LensFigure
@_exported import struct SextantEvaluation.LensLayer
@_exported import struct SextantEvaluation.ProbeMeasurement
@_exported import struct SextantEvaluation.ROC
@_exported import enum SextantEvaluation.SteeredSites
@_exported import struct SextantEvaluation.SweepSummary
// MARK: Runs, and the items that act on them
@_exported import struct SextantGeneration.AppliedArtifact
@_exported import struct SextantGeneration.AppliedDirection
@_exported import struct SextantGeneration.AppliedEraser
@_exported import struct SextantGeneration.AppliedLens
@_exported import struct SextantGeneration.AppliedProbe
@_exported import struct SextantGeneration.AppliedVector
@_exported import struct SextantGeneration.ApplyingOptions
@_exported import struct SextantGeneration.EditRecord
@_exported import struct SextantGeneration.EditSummary
@_exported import struct SextantGeneration.GateReading
@_exported import struct SextantGeneration.GeneratedText
@_exported import struct SextantGeneration.Generation
@_exported import enum SextantGeneration.GenerationEnding
@_exported import protocol SextantGeneration.GenerationObserver
@_exported import class SextantGeneration.GenerationRun
@_exported import struct SextantGeneration.GenerationStep
@_exported import enum SextantGeneration.GenerationVerdict
@_exported import enum SextantGeneration.Intervention
@_exported import struct SextantGeneration.Interventions
@_exported import struct SextantGeneration.LayerStrengths
@_exported import struct SextantGeneration.NamedLens
@_exported import struct SextantGeneration.ScoreCondition
@_exported import struct SextantGeneration.SteeringOptions
@_exported import enum SextantGeneration.StrengthUnit
@_exported import struct SextantGeneration.TokenRecord
@_exported import protocol SextantGeneration.TokenReporter
@_exported import class SextantModels.ClosureTap
@_exported import protocol SextantModels.LanguageModel
@_exported import enum SextantModels.LogitSelection
// MARK: Models and their values
@_exported import struct SextantModels.ModelDescription
@_exported import enum SextantModels.Site
@_exported import struct SextantModels.SiteDescription
@_exported import struct SextantModels.State
@_exported import enum SextantModels.StateMoment
@_exported import struct SextantModels.StateVisits
@_exported import protocol SextantModels.Tap
@_exported import struct SextantModels.TapContext
@_exported import struct SextantModels.TokenBatch
@_exported import struct SextantStore.LayerSelection
@_exported import struct SextantStore.ModelReference
@_exported import class SextantStore.ModelStore
@_exported import struct SextantStore.SiteReference
@_exported import enum SextantTensor.DataType
@_exported import enum SextantTensor.Precision
@_exported import struct SextantTensor.Tensor
@_exported import class SextantTensor.WorkerPool
@_exported import struct SextantTokenizers.PromptTemplate
@_exported import struct SextantTokenizers.TextCorpus
@_exported import protocol SextantTokenizers.Tokenizer
