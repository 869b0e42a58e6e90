/// The number of elements with which both begin.
func commonCount<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
  let limit = min(a.count, b.count)
  var count = 0
  while count < limit, a[count] == b[count] { count += 1 }
  return count
}
