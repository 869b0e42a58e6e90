// Commands: their keys, the list of keys, and the palette.

import { $, el } from './dom.js'

/** Whether keys go into the element, so that none of them is a command. */
const isTyping = (target) =>
  target.matches?.('textarea,select,input:not([type=checkbox]):not([type=range])') || target.isContentEditable

/** Binds commands `{keys, label, run, hidden}`. `keys` are names as in `KeyboardEvent.key`. */
export function bind(commands) {
  document.addEventListener('keydown', (event) => {
    if ($('palette').open || $('help').open) return
    const key = (event.ctrlKey || event.metaKey ? 'Ctrl-' : '') + event.key
    if (event.altKey) return
    const worksAlways = key.startsWith('Ctrl-') || key === 'Escape'
    if (!worksAlways && isTyping(event.target)) return
    // A range moves by itself; a button or link is pressed by Enter.
    if (event.target.type === 'range' && key.startsWith('Arrow')) return
    if (key === 'Enter' && event.target.matches('button,a,summary,input')) return
    const command = commands.find((each) => each.keys.includes(key))
    if (!command) return
    event.preventDefault()
    command.run()
  })

  $('keys').replaceChildren(...commands.flatMap((command) =>
    [el('dt', {}, el('kbd', {}, command.keys.map(spell).join(' '))), el('dd', {}, command.label)]))

  let shown = []
  let at = 0
  const draw = () => {
    const wanted = $('palette-input').value.toLowerCase()
    shown = commands.filter((command) => command.label.toLowerCase().includes(wanted))
    at = Math.max(0, Math.min(at, shown.length - 1))
    $('palette-list').replaceChildren(...shown.map((command, place) => el('li', {
      role: 'option', id: `command-${place}`, 'aria-selected': `${place === at}`, onclick: () => choose(place),
    }, el('span', {}, command.label), el('kbd', {}, command.keys.map(spell).join(' ')))))
    if (shown.length) $('palette-input').setAttribute('aria-activedescendant', `command-${at}`)
    else $('palette-input').removeAttribute('aria-activedescendant')
    $('palette-list').children[at]?.scrollIntoView({ block: 'nearest' })
  }
  const choose = (place) => {
    $('palette').close()
    shown[place]?.run()
  }
  $('palette-input').addEventListener('input', () => { at = 0; draw() })
  $('palette').addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') at += 1
    else if (event.key === 'ArrowUp') at -= 1
    else if (event.key === 'Enter') { event.preventDefault(); return choose(at) }
    else return
    event.preventDefault()
    draw()
  })
  return {
    openPalette() {
      $('palette-input').value = ''
      at = 0
      draw()
      $('palette').showModal()
    },
    openHelp: () => $('help').showModal(),
  }
}

const names = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc', 'Ctrl-Enter': 'Ctrl ⏎', Enter: '⏎' }
const spell = (key) => names[key] ?? key.replace('Ctrl-', 'Ctrl ').replace('-', key === '-' ? '−' : '-')
