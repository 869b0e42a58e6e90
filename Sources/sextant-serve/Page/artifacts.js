// The list of artifacts: what each is, its content, and how long the edits of a vector of the state survive.

import { $, el, number, facts, table } from './dom.js'

/** What was opened and asked for, by the artifact's name. */
const known = new Map()

const ROWS = 40

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value)

const plain = (value) => (typeof value === 'number' && !Number.isInteger(value) ? `${Number(value.toPrecision(6))}`
  : typeof value === 'string' ? value : JSON.stringify(value) ?? '')

/** JSON for people: scalars as facts, lists of objects and objects of objects as tables. */
function shown(content, prefix = '') {
  const scalars = []
  const parts = []
  for (const [key, value] of Object.entries(content)) {
    const name = prefix + key
    const rows = Array.isArray(value) ? value.map((each, place) => [`${place}`, each])
      : isObject(value) ? Object.entries(value) : []
    if (rows.length && rows.every(([, each]) => isObject(each))) {
      const heads = [...new Set(rows.flatMap(([, each]) => Object.keys(each)))]
      parts.push(el('h3', {}, name), table(name, [Array.isArray(value) ? 'no.' : 'name', ...heads], rows.slice(0, ROWS).map(([head, each]) =>
        [head, ...heads.map((column) => (each[column] === undefined ? '' : plain(each[column])))])))
      if (rows.length > ROWS) parts.push(el('p', { class: 'soft' }, `and ${rows.length - ROWS} more`))
    } else if (isObject(value)) parts.push(...shown(value, `${name}.`))
    else scalars.push([name, plain(value)])
  }
  return scalars.length ? [facts(scalars), ...parts] : parts
}

const tokens = (value) => (value === null ? 'longer' : number(value, 1))

function halfLives(found) {
  return [el('h3', {}, `half-life in tokens, the mean of ${found.edits} edits`), table('Half-lives', ['site', 'measured', 'predicted', 'output'],
    found.rows.map((row) => [`b${row.layer}.${row.component}`, tokens(row.measured), row.is_predicted ? tokens(row.predicted) : '', tokens(row.output)]))]
}

export function drawArtifacts(artifacts, actions) {
  $('artifact-list').replaceChildren(...artifacts.map((artifact) => {
    const { name, kind, fits } = artifact
    if (!known.has(name)) known.set(name, {})
    const own = known.get(name)
    const button = (label, action, id) => el('button', { type: 'button', onclick: action, id }, label)
    /** A button that shows an answer of the server, or hides it. */
    const opener = (member, label, path) => {
      const id = `${name}-${member}`
      return button(own[member] ? `hide ${label}` : label, async () => {
        own[member] = own[member] ? undefined : await actions.ask(path())
        actions.redraw()
        // The list is made anew; the button keeps the focus.
        requestAnimationFrame(() => $(id)?.focus())
      }, id)
    }
    const hasState = (artifact.sites ?? []).some((site) => site.includes('.state.'))
    return el('li', {}, el('details', { open: own.open, ontoggle: (event) => { own.open = event.target.open } },
      el('summary', {}, `${fits ? '✓' : '✗'} ${name} `, el('span', { class: 'soft' }, fits ? kind : 'does not fit')),
      artifact.error ? el('p', {}, `${artifact.error.code}: ${artifact.error.message}`) : '',
      facts([['kind', kind], ['file', artifact.file], ['sites', (artifact.sites ?? []).join(', ')],
        ['operation', artifact.operation], ['method', artifact.method], ['tokens', artifact.positions],
        ['length', artifact.share === undefined ? undefined : `${number(artifact.share)} of the activations`]]),
      el('p', { class: 'copy' },
        fits && kind === 'steering' && button('steer', () => actions.addVector(name)),
        fits && kind === 'state' && button('start from it', () => actions.startFrom(name)),
        kind && opener('content', 'content', () => `/sextant/v1/artifacts/${encodeURIComponent(name)}`),
        fits && kind === 'steering' && hasState && opener('lives', 'half-life', () =>
          `/sextant/v1/half-life?artifact=${encodeURIComponent(name)}&${actions.branch()}`)),
      own.lives ? halfLives(own.lives) : '',
      own.content && el('div', { class: 'content', tabindex: '0', role: 'region', 'aria-label': `Content of ${name}` }, shown(own.content))))
  }))
  if (artifacts.length) return
  $('artifact-list').append(el('li', {}, 'None. This trains one:', el('p', {},
    el('code', {}, 'sextant steer train -m MODEL --pairs PAIRS.jsonl -o FOLDER/joy.safetensors'))))
}
