// The grid of predictions: blocks by tokens. Each column shows what the blocks predicted for its token.

import { $, el, number, probabilityClass, visible } from './dom.js'
import { words, firstOfText, settledAt } from './lanes.js'

const COLUMNS = 64

/** The cell's probability under the chosen statistic; undefined if the lens did not send it. */
function statistic(token, top) {
  if ($('statistic').value === 'top') return top[0]?.[1]
  return top.find(([id]) => id === token.id)?.[1]
}

const rowsOf = (lane) => {
  const token = lane.tokens.findLast((each) => each.lens)
  return (token?.lens ?? []).map(([block]) => block).reverse()
}

/** Whether a steered block can have changed the cell: the same or a later block, the same or a later token. */
function isReachable(lane, token, block) {
  const sites = (token.steered ?? []).map((site) => Number(/^blocks\.(\d+)\./.exec(site)?.[1] ?? -1))
  return sites.some((site) => block === undefined || site <= block)
}

function drawStrip(lane, rows, actions) {
  const strip = $('strip')
  const tokens = lane.tokens.filter((token) => token.lens)
  strip.hidden = tokens.length <= COLUMNS
  if (strip.hidden) return
  strip.width = tokens.length
  strip.height = rows.length
  const context = strip.getContext('2d')
  const style = getComputedStyle(document.documentElement)
  const steps = [0, 1, 2, 3, 4].map((step) => resolved(style, `--p${step}`))
  tokens.forEach((token, x) => {
    for (const [block, top] of token.lens) {
      context.fillStyle = steps[Math.min(4, Math.floor(5 * (statistic(token, top) ?? 0)))]
      context.fillRect(x, rows.indexOf(block), 1, 1)
    }
  })
  strip.onclick = (event) => {
    const place = Math.floor((event.offsetX / strip.clientWidth) * tokens.length)
    actions.select(lane, lane.tokens.indexOf(tokens[place]))
  }
}

/** The colour of a variable, as a canvas understands it: `light-dark()` is resolved by an element. */
function resolved(style, name) {
  const probe = el('span', { hidden: true })
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const colour = getComputedStyle(probe).color
  probe.remove()
  return colour
}

/** Draws the grid for a lane, with the cursor's column in sight. */
export function drawLens(lane, index, block, actions) {
  $('lens-heading').textContent = !lane ? 'Lens' : `${lane.lens?.raw ? 'Raw logit lens' : 'Lens'} of ${lane.name}`
  const hadFocus = $('grid').contains(document.activeElement) && document.activeElement !== $('grid')
  const first = lane ? firstOfText(lane) : -1
  if (first < 0) {
    $('grid').replaceChildren()
    $('strip').hidden = true
    $('lens-note').textContent = 'Each column shows what the blocks predicted for its token.'
    return
  }
  const rows = rowsOf(lane)
  const last = $('follow').checked && !lane.done ? lane.tokens.length : Math.min(lane.tokens.length, Math.max(index + 24, first + COLUMNS))
  const from = Math.max(first, last - COLUMNS)
  const columns = lane.tokens.slice(from, last)
  const cell = (token, place, top, row) => {
    const at = from + place === index && row === block
    const value = statistic(token, top)
    const id = top[0]?.[0]
    return el('td', {
      class: [value === undefined ? '' : probabilityClass(value), id === token.id ? 'came' : '', at ? 'at' : '',
        isReachable(lane, token, row) ? 'cone' : ''].filter(Boolean).join(' '),
      tabindex: at ? '0' : '-1', title: value === undefined ? '' : `${number(value)}`,
      onclick: () => actions.select(lane, from + place, row ?? null), 'data-at': at,
    }, id === undefined ? '' : visible(words.get(id) ?? `#${id}`))
  }
  const head = el('tr', {}, el('th', { scope: 'col' }, 'block'),
    columns.map((token) => el('th', { scope: 'col' }, visible(token.text))))
  const output = el('tr', {}, el('th', { scope: 'row' }, 'output'), columns.map((token, place) =>
    cell(token, place, (token.top ?? []).map(([id, logprob]) => [id, Math.exp(logprob)]), undefined)))
  const body = rows.map((row) => el('tr', {}, el('th', { scope: 'row' }, row < 0 ? 'embed' : `${row}`), columns.map((token, place) =>
    cell(token, place, (token.lens ?? []).find(([each]) => each === row)?.[1] ?? [], row))))
  $('grid').replaceChildren(el('table', {}, el('thead', {}, head), el('tbody', {}, output, body)))
  const at = $('grid').querySelector('[data-at]')
  if (hadFocus) at?.focus({ preventScroll: true })
  if ($('follow').checked && !lane.done) $('grid').scrollLeft = $('grid').scrollWidth
  else if (at) showColumn(at)
  drawStrip(lane, rows, actions)
  $('lens-note').textContent = lane.lens || rows.length ? '' : 'No lens was on: choose one before the next run.'
}

/** Scrolls the grid alone, not the page. */
function showColumn(at) {
  const grid = $('grid')
  const box = at.getBoundingClientRect()
  const frame = grid.getBoundingClientRect()
  if (box.left < frame.left + 60) grid.scrollLeft -= frame.left + 60 - box.left
  if (box.right > frame.right) grid.scrollLeft += box.right - frame.right + 8
}

export const blocksOf = rowsOf
export { settledAt }
