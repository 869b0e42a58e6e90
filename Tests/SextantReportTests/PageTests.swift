import SextantBytes
import SextantReport
import Testing

/// Reports and pages.
@Suite struct PageTests {
  @Test func aPageHasItsStyleAndNothingFromElsewhere() {
    var page = HTMLPage(title: "A <b>", subtitle: "of a test")
    page.add(style: ".own{margin:0}")
    page.add(script: "draw();")
    let html = page.html
    #expect(html.contains("<title>A &lt;b&gt;</title>"))
    // The first and the last rule of the style that every page has, then the page's own.
    #expect(html.contains("*{box-sizing:border-box}\n"))
    #expect(html.contains("dd{margin-bottom:.4rem}}\n.own{margin:0}\n</style>"))
    #expect(html.contains("<script>\n\"use strict\";\ndraw();\n</script>"))
    #expect(!html.contains("http://") && !html.contains("https://") && !html.contains("src="))
  }

  @Test func aReportIsTextAndOneDocument() {
    var table = Table(["name", "#count"])
    table.add(["a", "10"])
    let report = Report(
      title: "Two facts", facts: [("long", "1"), ("it", "2")], tables: [("things", table)],
      notes: ["the end"], json: JSONObject([("count", 2)]))
    #expect(
      report.text == """
        Two facts
          long  1
          it    2

        things
          name  count
          a        10
        note: the end
        """)
    let both = report.json.with(JSONObject([("more", true)]))
    #expect(JSONValue.object(both).canonicalText == #"{"count":2,"more":true}"#)
  }
}
