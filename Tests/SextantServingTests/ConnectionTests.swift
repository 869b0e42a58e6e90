import SextantBytes
import Testing

@testable import SextantServing

/// Clients that only connect keep nobody out.
@Suite struct ConnectionTests {
  @Test func theConnectionThatWaitsLongestMakesRoom() {
    let connections = OpenConnections<String>(limit: 4)
    let (a, first) = connections.add("a")
    let (b, second) = connections.add("b")
    let (c, third) = connections.add("c")
    #expect([first, second, third] == [nil, nil, nil])
    // One place stays free, so that the server goes on accepting.
    let (_, surplus) = connections.add("d")
    #expect(surplus == "a" && connections.count == 3)
    // It has made room already: that it closes changes nothing.
    connections.remove(a)
    #expect(connections.count == 3)
    // A request that is answered makes its connection the youngest.
    connections.beginRequest(b)
    connections.endRequest(b)
    #expect(connections.add("e").surplus == "c")
    connections.beginRequest(c)
    #expect(connections.add("f").surplus == "d")
    #expect(connections.add("g").surplus == "b")
  }

  @Test func connectionsWithRequestsStay() {
    let connections = OpenConnections<Int>(limit: 3)
    let numbers = (0..<2).map { connections.add($0).number }
    for number in numbers { connections.beginRequest(number) }
    // Of two requests that were sent at once, one is not answered yet.
    connections.beginRequest(numbers[0])
    connections.endRequest(numbers[0])
    #expect(connections.add(2).surplus == nil)
    #expect(connections.count == 3)
    connections.remove(numbers[1])
    #expect(connections.add(3).surplus == 2)
    connections.endRequest(numbers[0])
    #expect(connections.add(4).surplus == 3)
    #expect(connections.add(5).surplus == 0)
  }

  /// A thousand clients that connect and wait, between which others come and are answered.
  @Test func aThousandConnectionsThatWaitDropNobodyWhoAsks() {
    let connections = OpenConnections<Int>(limit: 256)
    let busy = connections.add(-1).number
    connections.beginRequest(busy)
    var dropped: Set<Int> = []
    for client in 0..<1000 {
      if let surplus = connections.add(client).surplus { dropped.insert(surplus) }
      #expect(connections.count <= 255)
    }
    #expect(!dropped.contains(-1) && dropped.count == 1001 - 255)
  }
}
