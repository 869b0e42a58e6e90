// The panels beside the text: the selected token, and the state.

import { $, el, number, bytes, visible, sign, facts } from './dom.js'
import { lanes, words, firstOfText, settledAt } from './lanes.js'

export function drawToken(lane, index, actions) {
  const token = lane?.tokens[index]
  $('token-heading').textContent = token ? `Token ${index} of ${lane.name}` : 'Token'
  // The box that somebody types into stays.
  if ($('token-facts').contains(document.activeElement) && document.activeElement.tagName === 'INPUT'
    && $('token-facts').dataset.of === `${lane?.run}/${lane?.name}/${index}`) return
  $('token-facts').dataset.of = token ? `${lane.run}/${lane.name}/${index}` : ''
  if (!token) {
    $('token-facts').replaceChildren(el('p', { class: 'soft' }, 'Choose a token: click it, or use the arrow keys.'))
    return
  }
  const top = token.top ?? []
  const rank = top.findIndex(([id]) => id === token.id)
  const settled = settledAt(token)
  const parts = [facts([
    ['text', visible(token.text)], ['id', `${token.id}`],
    ['probability', token.logprob === undefined ? undefined : number(Math.exp(token.logprob), 3)],
    ['rank', top.length === 0 ? undefined : rank < 0 ? `below ${top.length}` : `${rank + 1}`],
    ['entropy', token.entropy === undefined ? undefined : `${number(token.entropy)} nats`],
    ['divergence', token.divergence === undefined ? undefined : `${number(token.divergence, 3)} nats from ${token.reference}`],
    ['settled', settled === undefined ? (token.lens?.length ? 'in no block' : undefined)
      : settled < 0 ? 'at the embedding' : `at block ${settled}`],
    ['steered at', (token.steered ?? []).join(', ')],
    ...(token.probes ?? []).map(([name, score]) => [name, `${sign(score)} ${number(score)}`]),
  ])]
  const forks = token.kind === 'text' && !lane.frozen
  if (top.length) {
    parts.push(el('h3', { class: 'hidden' }, 'Candidates'), el('div', { class: 'candidates' }, top.map(([id, logprob]) => {
      const text = words.get(id) ?? `#${id}`
      return el('button', {
        type: 'button', disabled: !forks, title: 'Fork with this token',
        onclick: () => actions.fork(lane, index - 1, { token: id }),
      }, `${visible(text)} ${number(Math.exp(logprob))}`)
    })))
  }
  if (forks || index === firstOfText(lane) - 1) {
    const box = el('input', { type: 'text', id: 'insert', 'aria-label': 'Text to insert after this token', placeholder: 'fork with text …' })
    parts.push(el('form', {
      class: 'insert', onsubmit: (event) => { event.preventDefault(); actions.fork(lane, index, box.value ? { insert: box.value } : {}) },
    }, box, el('button', {}, 'Fork here ', el('kbd', {}, 'f'))))
  }
  $('token-facts').replaceChildren(...parts)
}

export function drawState(lane, index, actions) {
  if (!lane?.state) {
    $('state-facts').replaceChildren(el('p', { class: 'soft' }, 'The state appears while a text is written.'))
    return
  }
  if ($('state-facts').contains(document.activeElement) && document.activeElement.tagName === 'SELECT') return
  // The nearest report at or before the cursor.
  const positions = [...lane.states.keys()].filter((position) => position <= lane.start + (index ?? Infinity))
  const state = lane.states.get(positions.at(-1)) ?? lane.state
  const compared = lane.compared ?? Object.entries(state.distance_to ?? {}).map(([name, distances]) => ({ name, distances }))[0]
  const components = Object.keys(state.norms)
  const largest = Math.max(...Object.values(state.norms), 1e-9)
  const widest = Math.max(...Object.values(compared?.distances ?? {}), 1e-9)
  const bar = (share, kind) => {
    const made = el('span', { class: `bar ${kind}` })
    made.style.setProperty('--share', `${(100 * share).toFixed(1)}rem`)
    return made
  }
  const head = el('tr', {}, el('th', { scope: 'col' }, 'component'), el('th', { scope: 'col' }, 'norm'),
    compared ? el('th', { scope: 'col' }, `distance to ${compared.name}`) : '')
  const rows = components.map((name) => el('tr', {}, el('th', { scope: 'row' }, name.replace(/^blocks\.(\d+)\.state\./, 'b$1.')),
    el('td', {}, bar(state.norms[name] / largest, ''), ` ${number(state.norms[name])}`),
    compared ? el('td', {}, bar((compared.distances[name] ?? 0) / widest, 'other'), ` ${number(compared.distances[name] ?? 0, 3)}`) : ''))
  const others = lanes.filter((other) => other !== lane && !other.frozen)
  const select = el('select', {
    'aria-label': 'Compare the state with another branch',
    onchange: () => { if (select.value) actions.compareStates(lane, others[Number(select.value)]) },
  }, el('option', { value: '' }, 'compare with …'), others.map((other, place) =>
    el('option', { value: `${place}` }, `${other.name} of ${other.run}`)))
  const link = el('a', {
    href: `/sextant/v1/runs/${lane.run}/state?branch=${encodeURIComponent(lane.name)}&position=${lane.start + (index ?? lane.tokens.length - 1)}`,
    download: `${lane.run}-${lane.name}.state.safetensors`,
  }, 'save state')
  $('state-facts').replaceChildren(
    el('p', { class: 'soft' }, `after token ${state.position}, ${bytes(state.bytes)}`),
    el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Components of the state' },
      el('table', { class: 'bars' }, el('thead', {}, head), el('tbody', {}, rows))),
    lane.frozen ? '' : el('p', {}, link, ' ', others.length ? select : ''),
    el('p', { class: 'soft' }, 'A saved state in the folder of the artifacts is one that a prompt can start from, after “Look again”.'))
}
