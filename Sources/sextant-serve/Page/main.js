// The page: what is selected, what a run is made of, and what each control does.

import { $, el, number, bytes } from './dom.js'
import { get, send, stream, Refused } from './client.js'
import { lanes, apply, find, stopped, firstOfText, speed, saved, load } from './lanes.js'
import { drawLanes, focusLane } from './text.js'
import { drawLens, blocksOf } from './lens.js'
import { vectors, steering, take, add, chosen, choose, drawSteering } from './steering.js'
import { drawToken, drawState } from './panels.js'
import { drawArtifacts } from './artifacts.js'
import { bind } from './commands.js'
import { asCommand, asJSON, asPython, asSwift } from './copy.js'

const selection = { lane: undefined, index: undefined, block: undefined, moved: false }
const running = new Map()  // AbortController by run
let model = { name: 'model' }
let artifacts = []
let cache
let slow = 0

// MARK: Requests

const settings = () => ({
  prompt: $('prompt').value, max_tokens: $('max-tokens').valueAsNumber || 60,
  temperature: Number.isFinite($('temperature').valueAsNumber) ? $('temperature').valueAsNumber : 0.8,
  top_p: $('top-p').valueAsNumber || 1, seed: $('seed').valueAsNumber || 0,
  ignore_eos: $('past-end').checked, state: $('start-state').value,
  lens: $('pause').checked ? '' : $('lens-artifact').value,
  probes: $('pause').checked ? [] : [...document.querySelectorAll('#probe-choices input:checked')].map((box) => box.value),
})

function body(own) {
  const { lens, probes, state: _, prompt: __, ...rest } = settings()
  return { ...rest, report: { ...(lens ? { lens: lens === 'raw' ? { top: 3 } : { artifact: lens, top: 3 } } : {}), probes }, ...own }
}

function run() {
  const prompt = $('prompt').value
  if (!prompt) return showError('prompt', 'Write a prompt first.')
  const own = steering()
  const branches = own.length && $('compare').checked
    ? [{ name: 'A', steering: [] }, { name: 'B', steering: own }] : [{ name: 'A', steering: own }]
  const { state } = settings()
  return start(body({ prompt, branches, ...(state ? { state } : {}) }))
}

let forks = 0
function fork(lane, position, change = {}) {
  if (!lane || lane.frozen) return undefined
  const first = firstOfText(lane)
  if (first < 0 || position < first - 1) return showError('prompt', 'A fork starts at the end of the prompt or later.')
  forks += 1
  const name = `${lane.name.split('.')[0]}.${forks}`
  return start(body({
    from: { run: lane.run, branch: lane.name, position: lane.start + position }, ...change, branches: [{ name, steering: steering() }],
  }))
}

async function start(request) {
  const controller = new AbortController()
  let id
  clearErrors()
  selection.moved = false
  try {
    await stream('/sextant/v1/runs', request, controller.signal, (event, data) => {
      if (event === 'run') {
        id = data.run
        running.set(id, controller)
      }
      const lane = apply(id, event, data)
      if (event === 'run') {
        selection.lane = lane
        selection.index = undefined
        selection.block = undefined
      }
      draw(event === 'token' ? 'text' : 'panels')
    })
  } catch (error) {
    if (error.name !== 'AbortError') fail(error)
    for (const lane of lanes) if (lane.run === id) stopped(lane, error.name === 'AbortError' ? 'stopped' : 'server gone')
  }
  for (const lane of lanes) if (lane.run === id) stopped(lane, 'ended')
  running.delete(id)
  if (!waiting) get('/sextant/v1/page').then((page) => { cache = page.cache; draw() }, () => {})
  draw(true)
}

const stop = () => { for (const controller of running.values()) controller.abort() }

let patching
/** The sliders changed: a branch that is being written is steered from its next token on. */
function steer() {
  const lane = selection.lane
  draw()
  if (!lane || lane.done) return
  clearTimeout(patching)
  patching = setTimeout(() => send('PATCH', `/sextant/v1/runs/${lane.run}`, { branch: lane.name, steering: steering() })
    .then(clearErrors, (error) => { if (error.status !== 404) fail(error) }), 40)
}

// MARK: Errors

function showError(place, text) {
  const box = $(`${place}-error`)
  box.textContent = text
  box.hidden = false
}

function clearErrors() {
  for (const box of document.querySelectorAll('.refused[id]')) box.hidden = true
}

function fail(error) {
  if (!(error instanceof Refused)) throw error
  if (error.status === 0) return lost()
  const place = /^(branches\[\d+\]\.)?steering/.test(error.param ?? '') ? 'steering' : 'prompt'
  showError(place, `${error.code ?? error.status}: ${error.message}`)
}

function notice(...parts) {
  $('notice').replaceChildren(...parts.map((part) => el('p', {}, part)))
  $('notice').hidden = parts.length === 0
}

let waiting
/** The server has gone: the text stays, and the page asks for it each 2 seconds. */
function lost() {
  state('gone')
  notice('The server does not answer. Start it again with sextant serve; this page finds it. The prompt and the texts are kept.')
  waiting ??= setInterval(async () => {
    try {
      await get('/health')
    } catch { return }
    clearInterval(waiting)
    waiting = undefined
    notice()
    for (const lane of lanes) lane.frozen = true
    await look()
  }, 2000)
}

function state(name) {
  const marks = { ready: '●', busy: '◐', gone: '○' }
  $('status-mark').textContent = marks[name]
  $('status-mark').className = name
  if ($('status-text').textContent !== name) $('status-text').textContent = name
}

// MARK: Artifacts

async function look(again = false) {
  try {
    const page = await get('/sextant/v1/page')
    const found = again ? await send('POST', '/sextant/v1/artifacts', {}) : await get('/sextant/v1/artifacts')
    model = page.model
    cache = page.cache
    artifacts = found.data
    // What the server steers by itself is on the sliders.
    if (!vectors.length && page.default.length) take(page.default)
  } catch (error) {
    return fail(error)
  }
  $('model').textContent = `${model.name}  ${model.architecture}, ${model.blocks} blocks  ${model.identity}`
  const fitting = (kind) => artifacts.filter((artifact) => artifact.fits && artifact.kind === kind)
  const lens = $('lens-artifact')
  const before = lens.value
  lens.replaceChildren(...fitting('lens').map((each) => el('option', { value: each.name }, each.name)),
    el('option', { value: 'raw' }, 'raw'), el('option', { value: '' }, 'off'))
  if ([...lens.options].some((option) => option.value === before) && before) lens.value = before
  $('probe-choices').replaceChildren(...fitting('probe').map((each) =>
    el('label', {}, el('input', { type: 'checkbox', value: each.name, checked: true }), ` probe: ${each.name} `)))
  $('add-vector').replaceChildren(el('option', { value: '' }, 'a vector …'),
    ...fitting('steering').map((each) => el('option', { value: each.name }, each.name)))
  const states = $('start-state')
  const from = states.value
  states.replaceChildren(el('option', { value: '' }, 'nothing'), ...fitting('state').map((each) => el('option', { value: each.name }, each.name)))
  states.value = fitting('state').some((each) => each.name === from) ? from : ''
  $('start').hidden = fitting('state').length === 0
  if (!vectors.length && fitting('steering').length) addVector(fitting('steering')[0].name, false)
  example(fitting('steering')[0], fitting('probe')[0])
  state('ready')
  draw(true)
}

const OPENING = 'I watched this film last night and'
const STATEMENT = '30 + 47 = 77. Alice:'

/** The empty page: a prompt, and two things to try. */
function example(vector, probe) {
  if (!$('prompt').value) $('prompt').value = localStorage.getItem('prompt') ?? OPENING
  const chip = (label, prompt, items) => el('button', {
    type: 'button', onclick: () => {
      $('prompt').value = prompt
      take(items)
      run()
    },
  }, label)
  $('chips').replaceChildren('Try: ', vector ? chip(`steer by ${vector.name}`, OPENING, [`${vector.name}:2`]) : '',
    probe ? chip('is it true?', STATEMENT, []) : '')
  $('chips').hidden = !vector && !probe
}

function addVector(name, isOn = true) {
  add(name)
  if (!isOn) vectors.at(-1).on = false
  steer()
}

async function compareStates(lane, other) {
  try {
    const place = (each) => `${each.run}/${encodeURIComponent(each.name)}/${Math.min(lane.start + lane.tokens.length, other.start + other.tokens.length) - 1}`
    const found = await get(`/sextant/v1/diff?a=${place(lane)}&b=${place(other)}`)
    lane.compared = { name: other.name, distances: found.distances }
  } catch (error) { fail(error) }
  draw(true)
}

// MARK: Drawing: once per frame, for any number of events

const LEVELS = { text: 0, panels: 1, all: 2 }
const PANEL_PAUSE = 120  // milliseconds between two drawings of the panels while texts come
let frame
let wanted = 0
let lastPanels = 0

/** Draws at the next frame: the texts, the panels too, or everything anew. */
function draw(level = 'panels') {
  wanted = Math.max(wanted, LEVELS[level === true ? 'all' : level])
  frame ??= requestAnimationFrame(() => {
    frame = undefined
    const now = performance.now()
    // Texts grow at each frame. The panels follow a few times a second.
    if (wanted === 0 && now - lastPanels > PANEL_PAUSE) wanted = 1
    const level = wanted
    wanted = 0
    if (level > 0) lastPanels = now
    paint(level)
  })
}

function paint(level) {
  const { lane } = selection
  if (lane && !lanes.includes(lane)) Object.assign(selection, { lane: lanes[0], index: undefined })
  // The cursor follows the text until somebody moves it.
  if (lane && (!selection.moved || selection.index === undefined)) selection.index = lane.tokens.length - 1
  drawLanes(selection, actions, level)
  if (level === 0) return
  drawLens(lane, selection.index, selection.block, actions)
  drawToken(lane, selection.index, actions)
  drawState(lane, selection.moved ? selection.index : undefined, actions)
  drawSteering(artifacts, lane?.nats, lane ? `Steering of ${lane.name}` : 'Steering', steer)
  if (level === 2) drawArtifacts(artifacts, actions)
  const isBusy = running.size > 0
  $('stop').hidden = !isBusy
  if (!waiting) state(isBusy ? 'busy' : 'ready')
  const rate = lane && speed(lane)
  $('speed').textContent = [rate ? `${Math.round(rate)} tok/s` : '', cache ? `cache ${bytes(cache.bytes + cache.run_bytes)}` : ''].filter(Boolean).join(' · ')
  const spec = (items) => JSON.stringify(items)
  $('again').hidden = !(lane?.done && !lane.frozen && firstOfText(lane) > 0 && spec(lane.steering) !== spec(steering()))
  // Browsers allow few changes of the address.
  if (lane && !isBusy) history.replaceState(null, '', `#${lane.run}/${lane.name}/${selection.index}`)
  hint(lane, rate)
}

/** Slower than 30 ms a token with instruments: say what costs time, once. */
function hint(lane, rate) {
  if (!rate || !lane.done || rate > 33 || slow === 2) return
  const on = [lane.lens ? 'the lens' : '', lane.tokens.at(-1)?.probes ? 'probes' : ''].filter(Boolean)
  if (!on.length || $('pause').checked) return
  slow = 2
  notice(`${number(1000 / rate, 0)} ms a token with ${on.join(' and ')}: “pause” switches the instruments off.`)
}

// MARK: Actions

function select(lane, index, block) {
  const changed = selection.lane !== lane
  selection.lane = lane
  if (index !== undefined) {
    selection.index = Math.max(0, Math.min(index, lane.tokens.length - 1))
    selection.moved = true
  } else if (changed) selection.moved = false
  if (block !== undefined) selection.block = block ?? undefined
  if (changed) take(lane.steering)
  draw()
}

function remove(lane) {
  const isLast = lanes.filter((other) => other.run === lane.run).length === 1
  if (isLast && !lane.frozen) {
    running.get(lane.run)?.abort()
    send('DELETE', `/sextant/v1/runs/${lane.run}`, {}).catch(() => {})
  }
  lanes.splice(lanes.indexOf(lane), 1)
  if (selection.lane === lane) Object.assign(selection, { lane: lanes[0], index: undefined, moved: false })
  draw(true)
}

const actions = {
  select, remove, fork, compareStates, addVector: (name) => addVector(name), redraw: () => draw(true),
  branch: () => `run=${selection.lane?.run ?? ''}&branch=${encodeURIComponent(selection.lane?.name ?? '')}`,
  async ask(path) {
    try {
      return await get(path)
    } catch (error) { fail(error) }
    return undefined
  },
  startFrom(name) {
    $('start-state').value = name
    $('prompt').focus()
  },
}

const move = (by) => () => { if (selection.lane) select(selection.lane, (selection.index ?? 0) + by) }

function moveBlock(by) {
  return () => {
    const { lane } = selection
    if (!lane) return
    // From above: the output, then the blocks from the last one down.
    const rows = [undefined, ...blocksOf(lane)]
    const at = rows.indexOf(selection.block)
    selection.block = rows[Math.max(0, Math.min(rows.length - 1, at - by))]
    draw()
  }
}

function moveLane(by) {
  return () => {
    const lane = lanes[lanes.indexOf(selection.lane) + by]
    if (!lane) return
    select(lane, selection.moved ? selection.index : undefined)
    focusLane(lane)
  }
}

function strength(by) {
  return () => {
    const vector = vectors.find((each) => each.name === chosen) ?? vectors[0]
    if (!vector) return
    vector.strength = Math.round((vector.strength + by) * 10) / 10
    vector.on = true
    choose(vector.name)
    document.activeElement?.blur?.()
    steer()
  }
}

function toggleSteering() {
  const isOn = vectors.some((vector) => vector.on)
  if (isOn) for (const vector of vectors) { vector.was = vector.on; vector.on = false }
  else for (const vector of vectors) vector.on = vector.was ?? vector.name === (chosen ?? vectors[0].name)
  document.activeElement?.blur?.()
  steer()
}

function again() {
  const { lane } = selection
  if (!lane) return undefined
  const own = lane.tokens.findIndex((token, index) => token.kind === 'text' && index >= lane.forkedAt)
  return fork(lane, (own < 0 ? lane.tokens.length : own) - 1)
}

async function copy(kind) {
  const { lane } = selection
  const own = { ...settings(), prompt: lane?.prompt || $('prompt').value }
  const lack = own.state && kind !== 'command' ? `It does not start from ${own.state}: only the command line can.` : undefined
  const makers = { command: asCommand, json: asJSON, python: asPython, swift: asSwift }
  const text = makers[kind](own, steering(), model, artifacts)
  try {
    await navigator.clipboard.writeText(text)
    notice(...[`Copied as ${document.querySelector(`[data-copy=${kind}]`).textContent}.`, lack].filter(Boolean))
  } catch {
    notice(...['The browser does not allow copying. This is the text:', text, lack].filter(Boolean))
  }
}

function exportLanes() {
  const link = el('a', { href: URL.createObjectURL(new Blob([saved()], { type: 'application/json' })), download: 'sextant-runs.json' })
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

async function importLanes(file) {
  try {
    const lane = load(await file.text())
    if (lane) select(lane)
    notice()
  } catch (error) {
    notice(`${file.name}: ${error.message}`)
  }
  draw(true)
}

/** A run of a link, while the server knows it. */
async function open(hash) {
  const [run, name, index] = hash.replace(/^#/, '').split('/').map(decodeURIComponent)
  if (!run || !/^r\d+$/.test(run)) return
  try {
    const found = await get(`/sextant/v1/runs/${run}`)
    for (const [event, data] of found.events) apply(run, event, data)
  } catch { return }
  for (const lane of lanes) stopped(lane, 'elsewhere')
  const lane = find(run, name) ?? lanes[0]
  if (lane) select(lane, index ? Number(index) : undefined)
  draw(true)
}

const toggle = (id) => () => { $(id).checked = !$(id).checked; draw(true) }

const { openPalette, openHelp } = bind([
  { keys: ['Ctrl-Enter'], label: 'Run the prompt', run },
  { keys: ['Escape'], label: 'Stop', run: stop },
  { keys: ['/'], label: 'Go to the prompt', run: () => { $('prompt').focus(); $('prompt').select() } },
  { keys: ['ArrowLeft'], label: 'Token before', run: move(-1) },
  { keys: ['ArrowRight'], label: 'Token after', run: move(1) },
  { keys: ['ArrowUp'], label: 'Block above', run: moveBlock(1) },
  { keys: ['ArrowDown'], label: 'Block below', run: moveBlock(-1) },
  { keys: ['['], label: 'Branch before', run: moveLane(-1) },
  { keys: [']'], label: 'Branch after', run: moveLane(1) },
  { keys: ['f'], label: 'Fork after this token, with the steering of the sliders', run: () => fork(selection.lane, selection.index) },
  { keys: ['Enter'], label: 'Go to the candidates; Enter on one forks with it', run: () => document.querySelector('.candidates button')?.focus() },
  { keys: ['s'], label: 'Steering on or off', run: toggleSteering },
  { keys: ['+', '='], label: 'Chosen vector stronger', run: strength(0.5) },
  { keys: ['-'], label: 'Chosen vector weaker', run: strength(-0.5) },
  { keys: ['v'], label: 'Choose the next vector', run: () => {
    const at = vectors.findIndex((each) => each.name === chosen)
    if (vectors.length) choose(vectors[(at + 1) % vectors.length].name)
    draw()
  } },
  { keys: ['l'], label: 'Lens on or off, from the next run on', run: () => {
    const lens = $('lens-artifact')
    lens.value = lens.value === '' ? lens.options[0].value : ''
  } },
  { keys: ['p'], label: 'Probes on or off, from the next run on', run: () => {
    const boxes = [...document.querySelectorAll('#probe-choices input')]
    const isOn = boxes.some((box) => box.checked)
    for (const box of boxes) box.checked = !isOn
  } },
  { keys: ['c'], label: 'Also unsteered, on or off', run: toggle('compare') },
  { keys: ['r'], label: 'Run again from the fork, with the steering of the sliders', run: again },
  { keys: ['Ctrl-k'], label: 'All commands', run: () => openPalette() },
  { keys: ['?'], label: 'Keys', run: () => openHelp() },
])

// MARK: Controls

$('run-form').addEventListener('submit', (event) => { event.preventDefault(); run() })
$('stop').addEventListener('click', stop)
$('again').addEventListener('click', again)
$('new-seed').addEventListener('click', () => { $('seed').value = Math.floor(Math.random() * 1e6) })
$('prompt').addEventListener('input', () => localStorage.setItem('prompt', $('prompt').value))
$('add-vector').addEventListener('change', () => {
  if ($('add-vector').value) addVector($('add-vector').value)
  $('add-vector').value = ''
})
$('rescan').addEventListener('click', () => look(true))
for (const id of ['tint', 'statistic', 'follow']) $(id).addEventListener('change', () => draw(true))
for (const button of document.querySelectorAll('[data-copy]')) button.addEventListener('click', () => copy(button.dataset.copy))
$('export').addEventListener('click', exportLanes)
$('import').addEventListener('click', () => $('import-file').click())
$('import-file').addEventListener('change', () => { if ($('import-file').files[0]) importLanes($('import-file').files[0]) })
$('palette-button').addEventListener('click', openPalette)
$('help-button').addEventListener('click', openHelp)
$('scheme-button').addEventListener('click', () => {
  const root = document.documentElement
  const isDark = root.dataset.scheme ? root.dataset.scheme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  root.dataset.scheme = isDark ? 'light' : 'dark'
  draw(true)
})

const hash = location.hash
await look()
if (hash) await open(hash)
else $('run').focus()
