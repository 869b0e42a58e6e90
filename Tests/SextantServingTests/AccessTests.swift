import SextantBytes
import Testing

@testable import SextantServing

/// Requests that come from where they should not are refused before any work.
@Suite struct AccessTests {
  private func status(
    _ headers: [(String, String)], _ served: Served, method: String = "GET",
    path: String = "/v1/models", body: [UInt8] = []
  ) async -> Int {
    await served.send(
      ServingRequest(
        method, path, headers: headers.map { (name: $0.0, value: $0.1) }, body: body)
    ).status
  }

  @Test func anotherHostIsRefused() async throws {
    let served = try Served()
    for host in ["localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080"] {
      #expect(await status([("host", host)], served) == 200)
    }
    // A page whose name was bound to this address, another port, a name with something behind it.
    for host in [
      "evil.example", "evil.example:8080", "localhost", "localhost:81", "localhost:8080.evil",
    ] {
      #expect(await status([("Host", host)], served) == 421)
    }
    #expect(await status([], served) == 421)
    #expect(await status([("Host", "localhost:8080"), ("Host", "evil.example")], served) == 421)
    let any = try Served { $0.hosts = nil }
    #expect(await status([], any) == 200)
  }

  @Test func pagesOfOtherOriginsAreRefusedBeforeAnyWork() async throws {
    let served = try Served { $0.origins = ["http://friend.example"] }
    let host = ("Host", "localhost:8080")
    #expect(await status([host, ("Origin", "http://localhost:8080")], served) == 200)
    #expect(await status([host, ("Sec-Fetch-Site", "same-origin")], served) == 200)
    #expect(await status([host, ("Sec-Fetch-Site", "none")], served) == 200)
    for origin in [
      "http://evil.example", "null", "http://localhost:81", "http://localhost:8080.evil",
    ] {
      #expect(await status([host, ("Origin", origin)], served) == 403)
    }
    for site in ["cross-site", "same-site"] {
      #expect(await status([host, ("Sec-Fetch-Site", site)], served) == 403)
    }
    let before = served.service.engine.metrics.current.starts
    let body = Array(#"{"prompt": "a"}"#.utf8)
    #expect(
      await status(
        [host, ("Origin", "http://evil.example"), ("Content-Type", "text/plain")], served,
        method: "POST", path: "/v1/completions", body: body) == 403)
    #expect(served.service.engine.metrics.current.starts == before)
    #expect(
      await status(
        [host, ("Origin", "http://localhost:8080"), ("Content-Type", "text/plain")], served,
        method: "POST", path: "/v1/completions", body: body) == 415)
    // An origin that was allowed gets the headers that its browser needs; nobody else does.
    let friend = await served.send(
      ServingRequest(
        "OPTIONS", "/v1/completions",
        headers: [
          (name: "Host", value: "localhost:8080"), (name: "Origin", value: "http://friend.example"),
          (name: "Sec-Fetch-Site", value: "cross-site"),
        ]))
    #expect(friend.status == 204)
    #expect(friend.header("Access-Control-Allow-Origin") == "http://friend.example")
    #expect(friend.header("Access-Control-Allow-Headers")?.contains("x-stainless-lang") == true)
    let own = await served.get("/v1/models")
    #expect(own.header("Access-Control-Allow-Origin") == nil)
  }

  /// Names that no request can have are mistakes, and not ignored.
  @Test func hostsAndOriginsThatNoRequestCanHaveAreRefused() throws {
    for host in ["http://lab.example", "lab.example/", "", "a b", "user@lab.example"] {
      #expect(throws: Refusal.self) { try Served { $0.hosts = [host] } }
    }
    for origin in [
      "lab.example", "http://lab.example/", "http://", "://lab.example", "*",
      "http://lab.example?x",
      "http://user@lab.example", "http://a http://b",
    ] {
      let refusal = #expect(throws: Refusal.self) { try Served { $0.origins = [origin] } }
      #expect(refusal?.place == .parameter("corsOrigin"))
    }
    _ = try Served { $0.hosts = ["lab.example", "lab.example:80", "[::1]:8080"] }
    _ = try Served {
      $0.origins = ["https://lab.example", "http://localhost:3000", "moz-extension://0a-b"]
    }
  }

  @Test func encodedAndHugeBodiesAreRefused() async throws {
    let served = try Served()
    let host = ("Host", "localhost:8080")
    #expect(
      await status(
        [host, ("Content-Encoding", "gzip")], served, method: "POST", path: "/v1/completions",
        body: Array("{}".utf8)) == 415)
    let huge =
      Array("{\"prompt\": \"".utf8) + Array(repeating: 97, count: 8 << 20) + Array("\"}".utf8)
    #expect(
      await status([host], served, method: "POST", path: "/v1/completions", body: huge) == 413)
  }

  @Test func aKeyIsNeededEverywhereButForHealth() async throws {
    let served = try Served { $0.keys = ["first-key", "second-key"] }
    let host = ("Host", "localhost:8080")
    #expect(await status([host], served, path: "/health") == 200)
    #expect(await status([host], served, path: "/v1/health") == 200)
    for path in [
      "/v1/models", "/props", "/metrics", "/tokenizer_info", "/", "/sextant/v1/artifacts",
    ] {
      #expect(await status([host], served, path: path) == 401)
    }
    for value in [
      "Bearer ", "Bearer first", "Bearer first-key2", "first-key", "Basic eDp3cm9uZw==",
    ] {
      #expect(await status([host, ("Authorization", value)], served) == 401)
    }
    // `Basic` has the key as its password: a browser asks its user for it.
    for value in ["Bearer first-key", "bearer second-key", "Basic dTpmaXJzdC1rZXk="] {
      #expect(await status([host, ("Authorization", value)], served) == 200)
    }
    let refusal = await served.get("/v1/models")
    #expect(try refusal.error.code == "invalid_api_key")
    #expect(!refusal.text.contains("first-key"))
    // Without keys, a header with an empty key is no reason to refuse.
    let open = try Served()
    #expect(await status([host, ("Authorization", "Bearer ")], open) == 200)
  }

  @Test func everyAnswerHasTheHeadersOfSafety() async throws {
    let served = try Served {
      $0.files = ["/": .init(type: "text/html; charset=utf-8", bytes: Array("<p>".utf8))]
    }
    for path in ["/", "/v1/models", "/nowhere"] {
      let answer = await served.get(path)
      #expect(answer.header("X-Content-Type-Options") == "nosniff")
      #expect(answer.header("Cross-Origin-Resource-Policy") == "same-origin")
      #expect(answer.header("Referrer-Policy") == "no-referrer")
      #expect(answer.header("Content-Security-Policy")?.contains("default-src 'none'") == true)
      #expect(answer.header("x-request-id") != nil)
    }
    #expect(await served.get("/").header("Content-Type") == "text/html; charset=utf-8")
    #expect(await served.get("/").text == "<p>")
  }
}
