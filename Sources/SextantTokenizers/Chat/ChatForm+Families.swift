/// The forms that have names: those of the model families in use, and two for models without one.
extension ChatForm {
  /// All of them. Names never change their meaning.
  static let named: [ChatForm] =
    chatML + qwen + llama + mistral + gemma + granite + hybrids + [olmo2, tulu] + olmo3 + [
      zephyr, rwkvWorld, plain,
    ]

  /// The form of that name.
  static func named(_ name: String) -> ChatForm? { named.first { $0.name == name } }

  /// The form with some members changed.
  private func with(_ name: String, _ change: (inout ChatForm) -> Void = { _ in }) -> ChatForm {
    var form = self
    form.name = name
    change(&form)
    return form
  }

  // MARK: ChatML

  private static func imTurn(_ role: String) -> Turn {
    Turn(prefix: "<|im_start|>\(role)\n", suffix: "<|im_end|>\n")
  }

  private static func imSystem(_ text: String) -> String {
    "<|im_start|>system\n\(text)<|im_end|>\n"
  }

  private static let imForm = ChatForm(
    name: "chatml", system: imTurn("system"), user: imTurn("user"), assistant: imTurn("assistant"),
    answer: "<|im_start|>assistant\n")

  private static let chatML = [
    imForm,
    imForm.with("chatml-bos") { $0.start = "{bos}" },
    imForm.with("smollm2") {
      $0.withoutSystem = imSystem(
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face")
    },
  ]

  // MARK: Qwen

  private static let qwen: [ChatForm] = [
    imForm.with("qwen2") { $0.withoutSystem = imSystem("You are a helpful assistant.") },
    imForm.with("qwen2.5") {
      $0.withoutSystem = imSystem(
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")
    },
    qwen3,
    qwen3.with("qwen3-thinking") {
      $0.answer += "<think>\n"
      ($0.thinkingAnswer, $0.directAnswer) = (nil, nil)
    },
    qwen35,
    qwen35.with("qwen3.5-direct") { $0.answer = $0.directAnswer ?? "" },
    imForm.with("qwen3-vl") { $0.systemRule = .first(later: .skipped) },
  ]

  private static let qwen3 = imForm.with("qwen3") {
    $0.thoughts = .afterQuestion
    $0.thinkingAnswer = $0.answer
    $0.directAnswer = $0.answer + "<think>\n\n</think>\n\n"
  }

  private static let qwen35 = imForm.with("qwen3.5") {
    $0.system?.trims = true
    $0.user.trims = true
    $0.systemRule = .first(later: .refused)
    $0.needsUser = true
    $0.thoughts = .afterQuestionTrimmed
    $0.directAnswer = $0.answer + "<think>\n\n</think>\n\n"
    $0.answer += "<think>\n"
    $0.thinkingAnswer = $0.answer
  }

  // MARK: Llama

  private static func headerTurn(_ role: String) -> Turn {
    Turn(
      prefix: "<|start_header_id|>\(role)<|end_header_id|>\n\n", suffix: "<|eot_id|>", trims: true)
  }

  private static let llama3 = ChatForm(
    name: "llama3", start: "{bos}", system: headerTurn("system"), user: headerTurn("user"),
    assistant: headerTurn("assistant"), answer: headerTurn("assistant").prefix)

  private static func llama3(_ name: String, date: String) -> ChatForm {
    llama3.with(name) {
      var turn = headerTurn("system")
      turn.prefix += "Cutting Knowledge Date: December 2023\nToday Date: \(date)\n\n"
      $0.firstSystem = turn
      $0.systemRule = .first(later: .turn)
      $0.withoutSystem = turn.prefix + turn.suffix
    }
  }

  private static let llama: [ChatForm] = [
    ChatForm(
      name: "llama2", user: Turn(prefix: "{bos}[INST] ", suffix: " [/INST]", trims: true),
      assistant: Turn(prefix: " ", suffix: " {eos}", trims: true),
      systemRule: .inUser(
        InUser(prefix: "<<SYS>>\n", suffix: "\n<</SYS>>\n\n", trimsBoth: true)),
      needsUser: true, alternates: true),
    llama3,
    llama3("llama3.1", date: "26 Jul 2024"),
    llama3("llama3.2", date: "{day} {mon} {year}"),
    llama3("llama3.2-vision", date: "{day} {mon} {year}").with("llama3.2-vision") {
      for turn in [\.user, \.assistant] as [WritableKeyPath<ChatForm, Turn>] {
        $0[keyPath: turn].trims = false
      }
      // Instructions lose the white space around them only at the beginning.
      $0.system?.trims = false
    },
  ]

  // MARK: Mistral

  private static func mistral(
    _ name: String, _ user: (String, String), _ assistant: (String, String),
    _ system: SystemRule = .inUser(InUser())
  ) -> ChatForm {
    ChatForm(
      name: name, start: "{bos}", user: Turn(prefix: user.0, suffix: user.1),
      assistant: Turn(prefix: assistant.0, suffix: assistant.1), systemRule: system,
      needsUser: true, alternates: true)
  }

  private static let mistral: [ChatForm] = [
    mistral("mistral", ("[INST] ", " [/INST]"), ("", "{eos}"), .refused),
    mistral("mistral-spaced", ("[INST] ", " [/INST]"), ("", "{eos} "), .refused),
    mistral("mistral-v1", (" [INST] ", " [/INST]"), (" ", "{eos}")),
    mistral("mistral-v3", ("[INST] ", "[/INST]"), (" ", "{eos}"), .inUser(InUser(isLast: true))),
    mistral(
      "mistral-v3-trimmed", ("[INST] ", "[/INST]"), (" ", "{eos}"), .inUser(InUser(isLast: true))
    )
    .with("mistral-v3-trimmed") { $0.assistant.trims = true },
    mistral(
      "mistral-v3-tekken", ("[INST]", "[/INST]"), ("", "{eos}"), .inUser(InUser(isLast: true))),
    mistral("mistral-v7", ("[INST] ", "[/INST]"), (" ", "{eos}"), .turns).with("mistral-v7") {
      $0.system = Turn(prefix: "[SYSTEM_PROMPT] ", suffix: "[/SYSTEM_PROMPT]")
      ($0.needsUser, $0.alternates) = (false, false)
    },
    mistral("mistral-v7-tekken", ("[INST]", "[/INST]"), ("", "{eos}"), .turns)
      .with("mistral-v7-tekken") {
        $0.system = Turn(prefix: "[SYSTEM_PROMPT]", suffix: "[/SYSTEM_PROMPT]")
        ($0.needsUser, $0.alternates) = (false, false)
      },
  ]

  // MARK: Gemma

  private static func gemma(_ name: String, _ system: SystemRule) -> ChatForm {
    func turn(_ role: String) -> Turn {
      Turn(prefix: "<start_of_turn>\(role)\n", suffix: "<end_of_turn>\n", trims: true)
    }
    return ChatForm(
      name: name, start: "{bos}", user: turn("user"), assistant: turn("model"),
      systemRule: system, needsUser: true, alternates: true, answer: turn("model").prefix)
  }

  private static let gemma = [gemma("gemma", .refused), gemma("gemma3", .inUser(InUser()))]

  // MARK: Granite

  private static func granite(_ name: String, system: String? = nil) -> ChatForm {
    func turn(_ role: String) -> Turn {
      Turn(prefix: "<|start_of_role|>\(role)<|end_of_role|>", suffix: "<|end_of_text|>\n")
    }
    return ChatForm(
      name: name, system: turn("system"), user: turn("user"), assistant: turn("assistant"),
      withoutSystem: system.map { turn("system").prefix + $0 + turn("system").suffix } ?? "",
      needsUser: system != nil,
      answer: turn("assistant").prefix)
  }

  private static let granite: [ChatForm] = [
    granite("granite3.0"),
    granite(
      "granite3.1",
      system: "Knowledge Cutoff Date: April 2024.\nToday's Date: {month} {day}, {year}.\n"
        + "You are Granite, developed by IBM. You are a helpful AI assistant."),
    granite(
      "granite3.3",
      system: "Knowledge Cutoff Date: April 2024. Today's Date: {month} {day}, {year}. "
        + "You are Granite, developed by IBM. You are a helpful AI assistant."),
    granite(
      "granite4",
      system: "You are a helpful assistant. Please ensure responses are professional, accurate, "
        + "and safe."
    ).with("granite4") {
      ($0.skipsEmptySystem, $0.needsUser) = (true, false)
    },
    granite("granite4-plain").with("granite4-plain") { $0.skipsEmptySystem = true },
  ]

  // MARK: Falcon-H1, LFM2, Nemotron

  private static let hybrids: [ChatForm] = [
    imForm.with("falcon-h1") {
      $0.start = "{bos}"
      $0.systemRule = .first(later: .skipped)
    },
    imForm.with("lfm2") {
      $0.start = "{bos}"
      $0.skipsEmptySystem = true
    },
    imForm.with("lfm2.5") {
      $0.start = "{bos}"
      $0.skipsEmptySystem = true
      $0.thoughts = .inLastAnswer
    },
    imForm.with("nemotron-h") { $0.systemRule = .first(later: .refused) },
    imForm.with("nemotron3") {
      $0.withoutSystem = imSystem("")
      $0.thoughts = .emptied
      $0.directAnswer = $0.answer + "<think></think>"
      $0.answer += "<think>\n"
      $0.thinkingAnswer = $0.answer
    },
    ChatForm(
      name: "nemotron-nano-v2", system: Turn(prefix: "<SPECIAL_10>System\n", suffix: "\n\n"),
      user: Turn(prefix: "<SPECIAL_11>User\n", suffix: "\n"),
      assistant: Turn(prefix: "<SPECIAL_11>Assistant\n", suffix: "\n<SPECIAL_12>\n\n"),
      systemRule: .first(later: .skipped), withoutSystem: "<SPECIAL_10>System\n\n\n",
      needsUser: true,
      thoughts: .switchedByMessages, thinkingAnswer: "<SPECIAL_11>Assistant\n<think>\n\n",
      directAnswer: "<SPECIAL_11>Assistant\n<think></think>"),
  ]

  // MARK: OLMo

  private static let tulu = ChatForm(
    name: "tulu", system: Turn(prefix: "<|system|>\n", suffix: "\n"),
    user: Turn(prefix: "<|user|>\n", suffix: "\n"),
    assistant: Turn(prefix: "<|assistant|>\n", suffix: "{eos}\n"), lastAnswerSuffix: "{eos}",
    answer: "<|assistant|>\n")

  private static let olmo2 = tulu.with("olmo2") { $0.start = "{bos}" }

  private static func olmo3(_ name: String, system: String) -> ChatForm {
    imForm.with(name) {
      $0.system?.suffix =
        " You do not currently have access to any functions. <functions></functions><|im_end|>\n"
      $0.withoutSystem = imSystem(system)
      $0.withoutAnySystem = true
      $0.lastAnswerSuffix = "{eos}"
    }
  }

  private static let olmo3: [ChatForm] = [
    olmo3("olmo3", system: "You are a helpful AI assistant."),
    olmo3(
      "olmo3-ai2",
      system: "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December "
        + "2024, and your model weights are available at https://huggingface.co/allenai."),
    olmo3(
      "olmo3-ai2-functions",
      system: "You are OLMo, a helpful function-calling AI assistant built by Ai2. Your date "
        + "cutoff is November 2024, and your model weights are available at "
        + "https://huggingface.co/allenai. You do not currently have access to any functions. "
        + "<functions></functions>"),
    olmo3("olmo3-think", system: "You are a helpful AI assistant.").with("olmo3-think") {
      $0.answer += "<think>"
    },
    olmo3("olmo3-think-short", system: "You are a helpful AI assistant.")
      .with("olmo3-think-short") {
        $0.answer += "<think>"
        $0.thoughts = .inLastMessage
      },
  ]

  // MARK: Others

  private static let zephyr = ChatForm(
    name: "zephyr", system: Turn(prefix: "<|system|>\n", suffix: "{eos}\n"),
    user: Turn(prefix: "<|user|>\n", suffix: "{eos}\n"),
    assistant: Turn(prefix: "<|assistant|>\n", suffix: "{eos}\n"), answer: "<|assistant|>\n")

  private static let rwkvWorld = ChatForm(
    name: "rwkv-world", start: "{bos}", system: Turn(prefix: "System: ", suffix: "\n\n"),
    user: Turn(prefix: "User: ", suffix: "\n\n", trims: true),
    assistant: Turn(prefix: "Assistant: ", suffix: "\n\n", trims: true),
    systemRule: .lastToFront, thoughts: .removed, answer: "Assistant:",
    thinkingAnswer: "Assistant: <think>", directAnswer: "Assistant: <think>\n</think>",
    stops: ["\n\nUser:"])

  private static let plain = ChatForm(
    name: "plain", system: Turn(prefix: "", suffix: "\n\n"),
    user: Turn(prefix: "User: ", suffix: "\n\n"),
    assistant: Turn(prefix: "Assistant: ", suffix: "\n\n", trims: true), answer: "Assistant:",
    stops: ["\n\nUser:"])
}
