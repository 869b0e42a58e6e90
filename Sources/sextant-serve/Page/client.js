// The server's answers: JSON, refusals, and streams of events.

/** A refusal of the server, or a server that does not answer (status 0). */
export class Refused extends Error {
  constructor(status, error) {
    super(error.message)
    Object.assign(this, { status, code: error.code, param: error.param, remedy: error.remedy })
  }
}

async function ask(path, options = {}) {
  let answer
  try {
    answer = await fetch(path, options)
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new Refused(0, { message: 'The server does not answer.' })
  }
  if (answer.ok) return answer
  const body = await answer.json().catch(() => ({}))
  throw new Refused(answer.status, body.error ?? { message: `The server answers ${answer.status}.` })
}

export const get = async (path) => (await ask(path)).json()

const withBody = (method, body, signal) => ({
  method, signal, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
})

export const send = async (method, path, body) => (await ask(path, withBody(method, body))).json()

/** Posts a body; gives each event of the answer to `receive(name, data)`. */
export async function stream(path, body, signal, receive) {
  const answer = await ask(path, withBody('POST', body, signal))
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    let part
    try {
      part = await reader.read()
    } catch (error) {
      if (error.name === 'AbortError') throw error
      throw new Refused(0, { message: 'The server ended the connection.' })
    }
    if (part.done) return
    const events = (rest + part.value).split('\n\n')
    rest = events.pop()
    for (const event of events) {
      let name = 'message'
      let data = ''
      for (const line of event.split('\n')) {
        if (line.startsWith('event:')) name = line.slice(6).trim()
        else if (line.startsWith('data:')) data += line.slice(5)
      }
      if (data) receive(name, JSON.parse(data))
    }
  }
}
