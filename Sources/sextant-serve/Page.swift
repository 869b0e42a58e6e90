import SextantServing

/// The files of the page.
enum Page {
  /// By path.
  static let files: [String: ServiceOptions.File] = [
    "/": file("html", PackageResources.page_html),
    "/page.css": file("css", PackageResources.page_css),
    "/artifacts.js": file("javascript", PackageResources.artifacts_js),
    "/client.js": file("javascript", PackageResources.client_js),
    "/commands.js": file("javascript", PackageResources.commands_js),
    "/copy.js": file("javascript", PackageResources.copy_js),
    "/dom.js": file("javascript", PackageResources.dom_js),
    "/lanes.js": file("javascript", PackageResources.lanes_js),
    "/lens.js": file("javascript", PackageResources.lens_js),
    "/main.js": file("javascript", PackageResources.main_js),
    "/panels.js": file("javascript", PackageResources.panels_js),
    "/steering.js": file("javascript", PackageResources.steering_js),
    "/text.js": file("javascript", PackageResources.text_js),
  ]

  private static func file(_ type: String, _ bytes: [UInt8]) -> ServiceOptions.File {
    ServiceOptions.File(type: "text/\(type); charset=utf-8", bytes: bytes)
  }
}
