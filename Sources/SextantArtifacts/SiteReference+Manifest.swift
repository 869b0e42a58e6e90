import SextantBytes
import SextantStore
import SextantTensor

extension SiteReference {
  init(_ node: JSONNode) throws(Refusal) {
    try node.allowOnly(["axes", "name", "shape"])
    var (shape, axes): ([Int], [String]) = ([], [])
    for element in try node.member("shape").elements() {
      shape.append(try element.integer(in: 1...(1 << 32)))
    }
    for element in try node.member("axes").elements() { axes.append(try element.string()) }
    self.init(name: try node.member("name").string(), shape: shape, axes: axes)
  }

  /// The site as manifests spell it.
  package var json: JSONValue {
    [
      "name": .string(name), "shape": .array(shape.map { .integer(Int64($0)) }),
      "axes": .array(axes.map { .string($0) }),
    ]
  }

  /// The number of elements of one value; nil if it overflows.
  var elementCount: Int? { Shape.elementCount(shape) }

  /// The flaw of the site in a model of this width and depth, or nil.
  func flaw(width: Int, layerCount: Int) -> (code: Refusal.Code, found: String, String)? {
    guard let site else {
      return (.artifactSite, "site \"\(name)\"", "a site such as blocks.0.output")
    }
    if let block = site.block, block >= layerCount {
      return (.artifactSite, "block \(block)", "blocks 0 to \(layerCount - 1)")
    }
    guard shape.count == axes.count, (1...6).contains(shape.count), shape.allSatisfy({ $0 > 0 }),
      elementCount != nil
    else {
      return (.artifactSchema, "shape \(shape) with axes \(axes)", "one name for each axis")
    }
    let isRouter = site == .router(block: site.block ?? 0)
    guard site.isState || site == .logits || isRouter || shape == [width] else {
      return (.artifactWidth, "shape \(shape)", "\([width]), the width of the model")
    }
    return nil
  }
}
