// The text of runs. A lane is a branch of a run: its tokens, its steering, and what came of it.
// The events of the server, live or kept in a file, are the only thing that changes a lane.

export const lanes = []
/** The texts of token ids that events have named. */
export const words = new Map()

export const find = (run, branch) => lanes.find((lane) => lane.run === run && lane.name === branch)

function makeLane(run, name, start) {
  const parent = start.from ? find(start.from.run, start.from.branch) : undefined
  const origin = start.start ?? parent?.start ?? 0
  const tokens = parent ? parent.tokens.slice(0, start.from.position + 1 - origin) : []
  return {
    run, name, prompt: start.prompt ?? parent?.prompt ?? '', parent, forkedAt: parent ? tokens.length : 0,
    // The position of the first token: above 0 if the run continues a saved state.
    start: origin,
    // The parent's tokens up to the fork, then this lane's own.
    tokens, steering: start.steering?.[name] ?? [], log: [], events: [], state: parent?.state, states: new Map(),
    read: 0, of: 0, done: undefined, error: undefined, started: performance.now(), dirty: true, frozen: !!start.frozen,
    nats: undefined, lens: start.lens, place: undefined, apart: { sum: 0, count: 0 },
  }
}

/** Applies an event of a run; returns the lane that it changed. */
export function apply(run, event, data) {
  if (event === 'run') {
    for (const name of data.branches) {
      if (find(data.run, name)) continue
      const lane = makeLane(data.run, name, data)
      lane.events.push([event, { ...data, branches: [name] }])
      // A fork stands below its parent and the other forks of it.
      let place = lane.parent ? lanes.indexOf(lane.parent) + 1 : lanes.length
      while (lane.parent && lanes[place]?.parent) place += 1
      lanes.splice(place, 0, lane)
    }
    return find(data.run, data.branches.at(-1))
  }
  if (event === 'queue') {
    for (const lane of lanes) if (lane.run === run) Object.assign(lane, { place: data.place, dirty: true })
    return undefined
  }
  const lane = find(run, data.branch)
  if (!lane) return undefined
  lane.dirty = true
  lane.place = undefined
  // How far a prompt was read is nothing to keep.
  if (event !== 'prompt' || data.read === data.of) lane.events.push([event, data])
  if (event === 'prompt') {
    lane.read = data.read
    lane.of = data.of
    for (const [id, text] of data.tokens ?? []) {
      words.set(id, text)
      lane.tokens.push({ position: lane.start + lane.tokens.length, id, text, kind: lane.parent ? 'inserted' : 'prompt' })
    }
  } else if (event === 'token') {
    for (const [id, text] of data.words ?? []) words.set(id, text)
    words.set(data.id, data.text || words.get(data.id))
    for (const [name, nats] of Object.entries(data.divergence_from ?? {})) {
      Object.assign(data, { divergence: nats, reference: name })
      lane.apart = { name, sum: lane.apart.sum + nats, count: lane.apart.count + 1 }
    }
    lane.tokens.push({ ...data, kind: 'text' })
    lane.clock ??= performance.now()
    lane.count = (lane.count ?? 0) + 1
  } else if (event === 'steer') {
    lane.steering = data.steering
    lane.log.push(data)
  } else if (event === 'state') {
    lane.state = data
    lane.states.set(data.position, data)
    lane.nats = data.nats ?? lane.nats
  } else if (event === 'done') lane.done = data
  else if (event === 'error') {
    lane.error = data
    lane.done = { reason: 'error' }
  }
  return lane
}

/** The lane's server run has gone, or the request was stopped: nothing more will come. */
export function stopped(lane, reason) {
  if (lane.done) return
  lane.done = { reason }
  lane.dirty = true
}

export const firstOfText = (lane) => lane.tokens.findIndex((token) => token.kind === 'text')

/** Whether the token differs from the parent's at its place. */
export const differs = (lane, index) =>
  lane.parent !== undefined && index >= lane.forkedAt && lane.parent.tokens[index]?.id !== lane.tokens[index].id

/** The first block from which on the lens names the token that came: -1 for the embedding, undefined if none does. */
export function settledAt(token) {
  let found
  for (const [block, top] of token.lens ?? []) {
    if (top[0]?.[0] === token.id) found ??= block
    else found = undefined
  }
  return found
}

/** The tokens per second of a lane. */
export function speed(lane) {
  if (lane.done?.tokens_per_second) return lane.done.tokens_per_second
  return lane.count > 1 ? (1000 * (lane.count - 1)) / Math.max(performance.now() - lane.clock, 1) : undefined
}

/** Everything of the lanes, for a file; `load` reads it. */
export const saved = () =>
  JSON.stringify({ 'sextant-runs': 1, lanes: lanes.map(({ run, name, events }) => ({ run, name, events })) })

/** Reads lanes from a file's text. They can be looked at; the server does not know their states. */
export function load(text) {
  const file = JSON.parse(text)
  if (file['sextant-runs'] !== 1 || !Array.isArray(file.lanes)) throw new Error('not a file that Export wrote')
  const names = new Map()
  let last
  for (const { run, events } of file.lanes) {
    if (!names.has(run)) names.set(run, `${run}-${Math.random().toString(36).slice(2, 6)}`)
    const own = names.get(run)
    for (const [event, data] of events) {
      if (event === 'run') {
        const from = data.from && { ...data.from, run: names.get(data.from.run) ?? data.from.run }
        last = apply(own, event, { ...data, run: own, from, frozen: true })
      } else last = apply(own, event, data) ?? last
    }
    if (last) stopped(last, 'imported')
  }
  return last
}
