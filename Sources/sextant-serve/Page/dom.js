// Small helpers for elements, numbers and colours. Text always enters as text, never as markup.

export const $ = (id) => document.getElementById(id)

/** An element with properties, listeners (on…) and children. Null and false children are left out. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value)
    else if (name === 'class') made.className = value
    else if (name in made && !name.includes('-') && name !== 'list') made[name] = value
    else made.setAttribute(name, value === true ? '' : value)
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return made
}

/** A list of names and values. */
export const facts = (pairs) => el('dl', { class: 'facts' },
  pairs.filter(([, value]) => value !== undefined && value !== '').flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]))

/** A table that scrolls by itself: column heads, and rows of cells, the first of which is a head. */
export const table = (label, heads, rows) => el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label },
  el('table', {}, el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col' }, head)))),
    el('tbody', {}, rows.map(([first, ...rest]) => el('tr', {}, el('th', { scope: 'row' }, first), rest.map((cell) => el('td', {}, cell)))))))

export const svg = (tag, attributes, ...children) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** A token's text with its blanks visible, for places where it stands alone. */
export const visible = (text) =>
  text === undefined || text === '' ? '∅' : text.replaceAll('\n', '⏎').replaceAll('\t', '⇥').replace(/^ | $/g, '·')

export const number = (value, digits = 2) =>
  value === null || value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(digits).replace('-', '−')

export const bytes = (count) =>
  count >= 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.round(count / 1e3)} kB`

/** The class of a probability: five steps. */
export const probabilityClass = (p) => `p${Math.min(4, Math.floor(Math.max(0, p) * 5))}`

/** The class of a surprise in nats: unmarked below 2. */
export const surpriseClass = (logprob) => (logprob < -5 ? 's2' : logprob < -2 ? 's1' : '')

/** The class of a divergence in nats: unmarked below 0.1. */
export const divergenceClass = (nats) => (nats > 1 ? 't2' : nats > 0.1 ? 't1' : '')

/** The class of a signed value: blue below 0, vermilion above. */
export function signedClass(value, scale) {
  const share = value / (scale || 1)
  if (share > 0.6) return 't2'
  if (share > 0.2) return 't1'
  if (share < -0.6) return 'm2'
  return share < -0.2 ? 'm1' : ''
}

export const sign = (value) => (value > 0 ? '▲' : value < 0 ? '▼' : '')
