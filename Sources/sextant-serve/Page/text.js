// The branches: text, tokens, probe lines. A lane's view is made once; tokens are appended to it.

import { $, el, svg, number, surpriseClass, probabilityClass, signedClass, divergenceClass } from './dom.js'
import { lanes, differs, speed } from './lanes.js'

const views = new Map()

const spell = (item) =>
  typeof item === 'string' ? item : (item.vectors ?? [item]).map((v) => `${v.source}:${v.scale ?? 1}`).join(' ')
export const steeringText = (steering) => steering.map(spell).join('  ') || 'unsteered'

function tintOf(token) {
  if (token.kind !== 'text') return ''
  switch ($('tint').value) {
    case 'surprise': return surpriseClass(token.logprob)
    case 'probability': return probabilityClass(Math.exp(token.logprob))
    case 'divergence': return divergenceClass(token.divergence)
    case 'probe': return token.probes?.length ? signedClass(token.probes[0][1], 3) : ''
    default: return ''
  }
}

function makeView(lane, actions) {
  const label = `${lane.name} of ${lane.run}`
  const view = {
    title: el('span', { class: 'soft' }), side: el('span', { class: 'soft number' }),
    text: el('div', {
      class: 'text', role: 'listbox', tabindex: '0', 'aria-label': `Tokens of branch ${label}`,
      onfocus: () => actions.select(lane, undefined),
      onclick: (event) => {
        const span = event.target.closest('[role=option]')
        if (span) actions.select(lane, Number(span.dataset.index))
      },
    }),
    probes: el('div'), log: el('p', { class: 'log' }), note: el('p', { class: 'log' }), shown: 0, heard: 0, unspoken: '',
  }
  const close = el('button', {
    type: 'button', title: 'Remove this branch', 'aria-label': `Remove branch ${label}`, onclick: () => actions.remove(lane),
  }, '×')
  view.root = el('article', { class: 'lane', 'aria-label': `Branch ${label}` },
    el('div', { class: 'head' }, el('h3', {}, lane.name), view.title, view.side, close),
    view.text, view.probes, view.log, view.note)
  views.set(lane, view)
  return view
}

function makeToken(lane, view, index) {
  const token = lane.tokens[index]
  // Blanks have a name for those who hear the text.
  const name = token.text.trim() ? undefined : token.text === '' ? 'no text yet' : token.text.includes('\n') ? 'line feed' : 'space'
  const span = el('span', { role: 'option', 'aria-selected': 'false', 'aria-label': name }, token.text || '\u200b')
  span.dataset.index = index
  span.id = `${lane.run}-${lane.name}-${index}`
  const classes = [tintOf(token)]
  if (token.kind === 'prompt') classes.push('prompt')
  if (token.kind === 'inserted') classes.push('inserted')
  if (lane.parent && index < lane.forkedAt) classes.push('inherited')
  if (differs(lane, index)) classes.push('differs')
  span.className = classes.filter(Boolean).join(' ')
  // A reader hears the same that the underline shows.
  if (differs(lane, index)) span.setAttribute('aria-description', 'differs from the parent branch')
  return span
}

/** Reads whole sentences to those who listen. */
function speak(lane, view, token) {
  if (token?.kind === 'text') view.unspoken += token.text
  const end = lane.done && !token ? view.unspoken.length : /[.!?\n] ?$/.test(view.unspoken) ? view.unspoken.length : 0
  if (end === 0) return
  $('spoken').append(el('p', {}, `${lane.name}: ${view.unspoken}`))
  view.unspoken = ''
  while ($('spoken').children.length > 40) $('spoken').firstChild.remove()
}

function drawProbes(lane, view, cursor) {
  const names = lane.tokens.findLast((token) => token.probes)?.probes.map(([name]) => name) ?? []
  view.probes.replaceChildren(...names.map((name, row) => {
    const values = lane.tokens.map((token) => token.probes?.[row]?.[1])
    const known = values.filter((value) => value !== undefined)
    const high = Math.max(0.1, ...known)
    const low = Math.min(-0.1, ...known)
    const y = (value) => (30 * (high - value)) / (high - low)
    const width = Math.max(values.length - 1, 1)
    const path = values.map((value, x) => (value === undefined ? '' : `${x} ${y(value).toFixed(2)}`)).filter(Boolean)
    const picture = svg('svg', {
      viewBox: `0 0 ${width} 30`, preserveAspectRatio: 'none', role: 'img',
      'aria-label': `${name}, from ${number(Math.min(...known))} to ${number(Math.max(...known))}`,
    }, svg('line', { x1: 0, x2: width, y1: y(0), y2: y(0) }))
    if (path.length) picture.append(svg('path', { d: `M${path.join('L')}` }))
    const at = values[cursor] ?? values.at(-1)
    if (values[cursor] !== undefined) {
      picture.append(svg('line', { x1: cursor, x2: cursor, y1: 0, y2: 30 }))
    }
    return el('div', { class: 'probe-line' }, el('span', {}, name), picture, el('span', { class: 'number' }, number(at)))
  }))
}

function drawText(lane, view) {
  const fresh = document.createDocumentFragment()
  for (; view.shown < lane.tokens.length; view.shown += 1) fresh.append(makeToken(lane, view, view.shown))
  view.text.append(fresh)
  for (; view.heard < lane.tokens.length; view.heard += 1) speak(lane, view, lane.tokens[view.heard])
}

function drawLane(lane, view, cursor) {
  view.title.textContent = steeringText(lane.steering)
  const facts = []
  if (lane.parent) facts.push(`fork of ${lane.parent.name} at ${lane.forkedAt}`)
  const rate = speed(lane)
  if (rate) facts.push(`${Math.round(rate)} tok/s`)
  if (lane.apart.count) facts.push(`divergence from ${lane.apart.name} ${number(lane.apart.sum / lane.apart.count)} nats a token`)
  facts.push(lane.done ? (lane.frozen ? 'imported' : lane.done.reason) : lane.count ? 'writing'
    : lane.place ? `queued, place ${lane.place}` : 'waiting')
  view.side.textContent = facts.join(' · ')
  view.text.classList.toggle('caret', !lane.done)
  drawProbes(lane, view, cursor)
  view.log.textContent = lane.log.map((entry) => `from ${entry.from}: ${steeringText(entry.steering)}`).join(' · ')
  const { error } = lane
  const reading = !lane.done && lane.of > lane.read ? `read ${lane.read} of ${lane.of}` : ''
  view.note.textContent = error ? `${error.code}: ${error.message}${error.remedy ? ` ${error.remedy}` : ''}` : reading
  view.note.className = error ? 'refused' : 'log'
  if (lane.done) speak(lane, view)
}

function mark(view, span) {
  if (view.marked === span) return
  view.marked?.setAttribute('aria-selected', 'false')
  span?.setAttribute('aria-selected', 'true')
  if (span) view.text.setAttribute('aria-activedescendant', span.id)
  else view.text.removeAttribute('aria-activedescendant')
  view.marked = span
}

/** Draws all lanes whose data changed, and the selection. At level 0 only the texts, at level 2 all of it anew. */
export function drawLanes(selection, actions, level) {
  for (const [lane, view] of views) {
    if (lanes.includes(lane)) continue
    view.root.remove()
    views.delete(lane)
  }
  lanes.forEach((lane, place) => {
    const view = views.get(lane) ?? makeView(lane, actions)
    if ($('lanes').children[place] !== view.root) $('lanes').insertBefore(view.root, $('lanes').children[place] ?? null)
    const selected = selection.lane === lane
    view.root.classList.toggle('selected', selected)
    if (level === 2) retint(view)
    drawText(lane, view)
    mark(view, selected ? view.text.children[selection.index] : undefined)
    if (level === 0) return
    if (lane.dirty || level === 2 || selected || view.wasSelected) drawLane(lane, view, selected ? selection.index : undefined)
    view.wasSelected = selected
    lane.dirty = false
  })
  $('empty').hidden = lanes.length > 0
}

function retint(view) {
  view.text.replaceChildren()
  view.shown = 0
  view.marked = undefined
}

export const focusLane = (lane) => views.get(lane)?.text.focus({ preventScroll: false })
