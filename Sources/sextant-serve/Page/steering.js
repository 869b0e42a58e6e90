// The sliders: which vectors steer the selected branch, or the next run if there is none.

import { $, el, number } from './dom.js'

/** Vectors on the page: name, strength, on or off, and the block if only one is chosen. */
export const vectors = []
export let chosen

export function choose(name) {
  chosen = name
}

/** The `steering` of a request. */
export const steering = () => vectors.filter((vector) => vector.on && vector.strength !== 0).map((vector) =>
  vector.block === undefined ? `${vector.name}:${vector.strength}`
    : { vectors: [{ source: vector.name, scale: vector.strength, layers: [vector.block] }] })

/** Sets the sliders to a branch's steering. Vectors that do not steer it keep their strength, off. */
export function take(items) {
  for (const vector of vectors) vector.on = false
  const set = (name, strength, block) => {
    let vector = vectors.find((each) => each.name === name)
    if (!vector) vectors.push((vector = { name }))
    Object.assign(vector, { strength, block, on: true })
  }
  for (const item of items) {
    if (typeof item === 'string') {
      const [name, strength] = item.split(':')
      set(name, Number.parseFloat(strength ?? '1'))
    } else for (const each of item.vectors ?? [item]) set(each.source, each.scale ?? 1, each.layers?.[0])
  }
  chosen ??= vectors[0]?.name
}

export function add(name) {
  if (!vectors.some((vector) => vector.name === name)) vectors.push({ name, strength: 1, on: true, block: undefined })
  chosen = name
}

const blocksOf = (artifact) =>
  [...new Set((artifact?.sites ?? []).map((site) => /^blocks\.(\d+)\./.exec(site)?.[1]).filter(Boolean))].map(Number)

/** Draws the sliders. `changed` is called after each change of what steers. */
export function drawSteering(artifacts, nats, title, changed) {
  $('steering-heading').textContent = title
  // A slider that is being dragged is not made again below the hand.
  if ($('vectors').contains(document.activeElement) && document.activeElement.type !== 'checkbox') return drawDoses(artifacts, nats)
  $('vectors').replaceChildren(...vectors.map((vector) => {
    const artifact = artifacts.find((each) => each.name === vector.name)
    const limit = Math.max(3, Math.ceil(Math.abs(vector.strength)))
    const set = (value) => {
      if (!Number.isFinite(value)) return
      vector.strength = Math.round(value * 100) / 100
      slider.value = field.value = vector.strength
      chosen = vector.name
      changed()
    }
    const slider = el('input', {
      type: 'range', min: -limit, max: limit, step: 0.1, value: vector.strength, 'aria-label': `Strength of ${vector.name}`,
      oninput: () => set(slider.valueAsNumber),
    })
    const field = el('input', {
      type: 'number', min: -100, max: 100, step: 0.1, value: vector.strength, 'aria-label': `Strength of ${vector.name}, as a number`,
      onchange: () => set(field.valueAsNumber),
    })
    const toggle = el('input', {
      type: 'checkbox', checked: vector.on, 'aria-label': `${vector.name} on`,
      onchange: () => { vector.on = toggle.checked; chosen = vector.name; changed() },
    })
    const blocks = blocksOf(artifact)
    const select = blocks.length > 1 && el('select', {
      'aria-label': `Block of ${vector.name}`,
      onchange: () => { vector.block = select.value === 'all' ? undefined : Number(select.value); changed() },
    }, el('option', { value: 'all' }, 'all blocks'), blocks.map((block) =>
      el('option', { value: block, selected: vector.block === block }, `block ${block}`)))
    const remove = el('button', {
      type: 'button', 'aria-label': `Remove ${vector.name}`, title: 'Remove', onclick: () => { vectors.splice(vectors.indexOf(vector), 1); changed() },
    }, '×')
    return el('div', { class: `vector${vector.name === chosen ? ' chosen' : ''}`, 'data-name': vector.name },
      el('div', { class: 'line' }, toggle, el('span', { class: `name${vector.on ? '' : ' off'}` }, vector.name), select || '', remove),
      el('div', { class: 'line' }, slider, field),
      el('div', { class: 'line' }, el('span', { class: 'dose', hidden: true }), el('span', { class: 'soft number' }),
        !select && artifact?.sites?.length ? el('span', { class: 'soft site' }, `at ${artifact.sites.join(', ')}`) : ''))
  }))
  drawDoses(artifacts, nats)
}

/**
 * The dose: the edit's length as a share of the activations that it was trained on, and how far the steering moved the
 * first prediction of the branch, in nats.
 */
function drawDoses(artifacts, nats) {
  for (const row of $('vectors').children) {
    const vector = vectors.find((each) => each.name === row.dataset.name)
    const share = artifacts.find((each) => each.name === row.dataset.name)?.share
    const [bar, text] = row.querySelector('.line:last-child').children
    const isKnown = share !== undefined && vector?.on
    const dose = isKnown ? Math.abs(vector.strength) * share : undefined
    bar.hidden = !isKnown
    bar.style.setProperty('--share', `${Math.min(100, 100 * (dose ?? 0))}%`)
    bar.classList.toggle('high', dose > 1)
    text.textContent = [isKnown ? `${number(dose)} of the norm` : '',
      nats !== undefined && vector?.on ? `${number(nats, 3)} nats` : ''].filter(Boolean).join(' · ')
  }
}
