import Glibc
import SextantBytes

/// The reason why a measurement failed.
struct MeasurementFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A process that answers each line with one line of JSON.
final class ChildProcess {
  private let process: pid_t
  private let requests: UnsafeMutablePointer<FILE>
  private let answers: UnsafeMutablePointer<FILE>
  private let name: String

  /// Starts a command whose first element is the path of the executable.
  init(_ command: [String]) throws {
    name = command.joined(separator: " ")
    var (input, output): ([Int32], [Int32]) = ([0, 0], [0, 0])
    guard pipe(&input) == 0, pipe(&output) == 0 else { throw MeasurementFailure("no pipes") }
    // A child that inherited another child's pipe would keep it open.
    for end in input + output { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    process = try spawn(command, input: input[0], output: output[1])
    close(input[0])
    close(output[1])
    guard let requests = fdopen(input[1], "w"), let answers = fdopen(output[0], "r") else {
      throw MeasurementFailure("no streams")
    }
    (self.requests, self.answers) = (requests, answers)
  }

  deinit {
    // A child exits at the end of its input.
    fclose(requests)
    fclose(answers)
    waitpid(process, nil, 0)
  }

  /// Sends a request and waits for the answer.
  func ask(_ request: JSONValue) throws -> JSONNode {
    fputs(request.canonicalText + "\n", requests)
    fflush(requests)
    return try answer()
  }

  /// The next line of the child's output.
  func answer() throws -> JSONNode {
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    guard getline(&line, &capacity, answers) >= 0, let line else {
      throw MeasurementFailure("no answer from: \(name)")
    }
    return try JSONNode(parsing: Array(String(cString: line).utf8), code: .jsonInvalid, file: name)
  }

  /// The time from the start to the end of a command, in seconds. Its output is dropped.
  static func time(_ command: [String]) throws -> Double {
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    let begin = now()
    let process = try spawn(command, input: null, output: null)
    var status: Int32 = 0
    waitpid(process, &status, 0)
    guard status == 0 else {
      throw MeasurementFailure("status \(status) of: \(command.joined(separator: " "))")
    }
    return now() - begin
  }
}

/// Starts a process with these descriptors as its standard input and output.
private func spawn(_ command: [String], input: Int32, output: Int32) throws -> pid_t {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_adddup2(&actions, input, 0)
  posix_spawn_file_actions_adddup2(&actions, output, 1)
  var arguments = command.map { strdup($0) }
  arguments.append(nil)
  defer { for argument in arguments { free(argument) } }
  var process: pid_t = 0
  let status = posix_spawnp(&process, command[0], &actions, nil, arguments, environ)
  guard status == 0 else {
    throw MeasurementFailure("\(command[0]): \(String(cString: strerror(status)))")
  }
  return process
}
