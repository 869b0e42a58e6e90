import SextantBytes
import SextantStore
import SextantTensor

/// One linear probe: a direction at a site, and the parameters that turn its projection into
/// log-odds.
public struct ProbeEntry: Sendable, Equatable {
  /// The activations that a probe reads.
  public enum Input: String, Sendable, CaseIterable {
    /// One activation.
    case single
    /// The activations after the two choices, the false one first, joined to one vector.
    case joined
    /// The difference of the activations after the two choices, true minus false.
    case difference
  }

  /// A rank-one affine map that removes the part that a linear probe can find: x - left (right · (x
  /// - mean)).
  public struct Eraser: Sendable, Equatable {
    /// The point that the map does not change, [n].
    public var mean: [Double]
    /// The direction that is taken out, [n].
    public var left: [Double]
    /// The direction that measures the part, [n].
    public var right: [Double]

    /// An eraser of these vectors.
    public init(mean: [Double], left: [Double], right: [Double]) {
      self.mean = mean
      self.left = left
      self.right = right
    }
  }

  /// The site.
  public let site: SiteReference
  /// The head that is read, an index along the site's axis `head`; nil for the whole value.
  public let head: Int?
  /// The method that it was trained by, such as `lr`.
  public let method: String
  /// The activations that it reads.
  public let input: Input
  /// The direction, [n], or [2n] for joined activations.
  public let direction: [Double]
  /// The eraser that is applied to each activation first; nil if none.
  public let eraser: Eraser?
  /// The factor of the projection, which makes scores log-odds.
  public let scale: Double
  /// The offset that is added then.
  public let bias: Double
  /// Scores at or above it predict the label.
  public let threshold: Double

  /// A probe of these numbers.
  public init(
    site: SiteReference, head: Int? = nil, method: String, input: Input, direction: [Double],
    eraser: Eraser? = nil, scale: Double = 1, bias: Double = 0, threshold: Double = 0
  ) {
    self.site = site
    self.head = head
    self.method = method
    self.input = input
    self.direction = direction
    self.eraser = eraser
    self.scale = scale
    self.bias = bias
    self.threshold = threshold
  }

  /// The name of its tensors, such as `blocks.3.output.lr` or `blocks.0.state.wkv.head2.lr`.
  public var name: String {
    "\(site.name)." + (head.map { "head\($0)." } ?? "") + method
  }

  /// Elements of one activation, n.
  package var elementCount: Int { Self.elements(of: site, head: head).count }

  /// The block that the site belongs to; nil for the sites around the blocks.
  public var layer: Int? { site.site?.block }

  /// The elements of a site's value, row-major, that belong to a head, or all.
  package static func elements(of site: SiteReference, head: Int?) -> Range<Int> {
    let count = site.shape.reduce(1, *)
    guard let head, let heads = site.shape.first else { return 0..<count }
    return count / heads * head..<count / heads * (head + 1)
  }

  // MARK: Scores

  /// The log-odds of the label, from one activation. The sum runs in f64 and in the order of the
  /// elements, so that the same numbers give the same bits everywhere.
  ///
  /// - Parameter activation: the site's elements that the probe reads, n of them.
  public func score(_ activation: UnsafeBufferPointer<Float>) -> Double {
    unsafe scale * projection(activation, from: 0) + bias
  }

  /// The log-odds of the label, from the activations after the two choices.
  public func score(
    false negative: UnsafeBufferPointer<Float>, true positive: UnsafeBufferPointer<Float>
  ) -> Double {
    let (first, second) = unsafe (
      projection(negative, from: 0),
      projection(positive, from: input == .joined ? elementCount : 0)
    )
    return scale * (input == .joined ? first + second : second - first) + bias
  }

  private func projection(_ x: UnsafeBufferPointer<Float>, from start: Int) -> Double {
    precondition(x.count == elementCount)
    var sum = 0.0
    guard let eraser else {
      for index in 0..<x.count { unsafe sum += direction[start + index] * Double(x[index]) }
      return sum
    }
    var amount = 0.0
    for index in 0..<x.count {
      unsafe amount += eraser.right[index] * (Double(x[index]) - eraser.mean[index])
    }
    for index in 0..<x.count {
      unsafe sum += direction[start + index] * (Double(x[index]) - eraser.left[index] * amount)
    }
    return sum
  }
}

// MARK: - Files

extension ProbeEntry {
  /// A description without numbers, from a manifest.
  init(_ node: JSONNode, sites: [SiteReference]) throws(Refusal) {
    try node.allowOnly(["erases", "head", "input", "method", "site"])
    let siteNode = try node.member("site")
    let siteName = try siteNode.string()
    guard let site = sites.first(where: { ExactString($0.name) == ExactString(siteName) }) else {
      throw siteNode.refusal(expected: "one of the artifact's sites")
    }
    let inputNode = try node.member("input")
    guard let input = Input(rawValue: try inputNode.string()) else {
      throw inputNode.refusal(expected: Input.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let methodNode = try node.member("method")
    let method = try methodNode.string()
    guard !method.isEmpty, method.utf8.allSatisfy({ $0 != UInt8(ascii: ".") && $0 > 0x20 }) else {
      throw methodNode.refusal(expected: "a name without dots and spaces")
    }
    let headNode = try node.optionalMember("head")
    if let headNode, site.axes.first != "head" {
      throw headNode.refusal(expected: "no head: the site's first axis is not the head")
    }
    let head = try headNode?.integer(in: 0...max((site.shape.first ?? 1) - 1, 0))
    let erases = try node.member("erases").boolean()
    let none = Eraser(mean: [], left: [], right: [])
    self.init(
      site: site, head: head, method: method, input: input, direction: [],
      eraser: erases ? none : nil)
  }

  /// The description as a manifest has it.
  var json: JSONValue {
    var object = JSONObject([
      ("site", .string(site.name)), ("method", .string(method)),
      ("input", .string(input.rawValue)), ("erases", .boolean(eraser != nil)),
    ])
    if let head { object["head"] = .integer(Int64(head)) }
    return .object(object)
  }

  func expectedTensors(_ node: JSONNode) throws(Refusal) -> [ExpectedTensor] {
    let n = elementCount
    let (width, overflow) = n.multipliedReportingOverflow(by: input == .joined ? 2 : 1)
    guard !overflow else { throw node.refusal(expected: "a smaller site") }
    return [ExpectedTensor("\(name).direction", .f64, [width])]
      + ["scale", "bias", "threshold"].map { ExpectedTensor("\(name).\($0)", .f64, []) }
      + (eraser == nil ? [] : ["mean", "left", "right"]).map {
        ExpectedTensor("\(name).eraser.\($0)", .f64, [n])
      }
  }

  /// The probe with the numbers of an artifact that has all expected tensors.
  func filled(from artifact: Artifact) -> ProbeEntry {
    let values = { (part: String) -> [Double] in
      artifact.tensor("\(name).\(part)").map { unsafe $0.withDoubles { unsafe Array($0) } } ?? []
    }
    let filledEraser = eraser.map { _ in
      Eraser(
        mean: values("eraser.mean"), left: values("eraser.left"), right: values("eraser.right"))
    }
    return ProbeEntry(
      site: site, head: head, method: method, input: input, direction: values("direction"),
      eraser: filledEraser, scale: values("scale").first ?? 1, bias: values("bias").first ?? 0,
      threshold: values("threshold").first ?? 0)
  }

  var tensors: [(name: String, value: Tensor)] {
    var tensors = [
      (
        name: "\(name).direction", value: Tensor(doubles: direction, shape: [direction.count])
      )
    ]
    for (part, number) in [("scale", scale), ("bias", bias), ("threshold", threshold)] {
      tensors.append(("\(name).\(part)", Tensor(doubles: [number], shape: [])))
    }
    if let eraser {
      for (part, vector) in [
        ("mean", eraser.mean), ("left", eraser.left), ("right", eraser.right),
      ] {
        tensors.append(("\(name).eraser.\(part)", Tensor(doubles: vector, shape: [vector.count])))
      }
    }
    return tensors
  }
}
