// What is on the page, as a command line, as a request, and as programs.

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`

/** The vectors of a request's steering: name, strength and blocks. */
const vectorsOf = (steering) => steering.flatMap((item) => {
  if (typeof item === 'string') {
    const [name, strength] = item.split(':')
    return [{ name, strength: strength ?? '1' }]
  }
  return (item.vectors ?? [item]).map((v) => ({ name: v.source, strength: `${v.scale ?? 1}`, layers: v.layers }))
})

export function asCommand(settings, steering, model, artifacts) {
  const file = (name) => artifacts.find((artifact) => artifact.name === name)?.file ?? `${name}.safetensors`
  const vectors = vectorsOf(steering)
  const layers = [...new Set(vectors.flatMap((vector) => vector.layers ?? []))]
  return [
    'sextant generate', `-m ${quoted(`${model.name}.sxt`)}`, `-p ${quoted(settings.prompt)}`, `-n ${settings.max_tokens}`,
    `--temp ${settings.temperature}`, settings.top_p < 1 ? `--top-p ${settings.top_p}` : '', `--seed ${settings.seed}`,
    ...vectors.map((vector) => `--apply ${quoted(`${file(vector.name)}:${vector.strength}`)}`),
    layers.length ? `--layers ${layers.join(',')}` : '',
    settings.ignore_eos ? '--ignore-eos' : '',
    settings.state ? `--load-state ${quoted(file(settings.state))}` : '',
    settings.lens && settings.lens !== 'raw' ? `--apply ${quoted(file(settings.lens))}` : '',
    ...settings.probes.map((name) => `--apply ${quoted(file(name))}`),
  ].filter(Boolean).join(' ')
}

const request = (settings, steering, model) => {
  const { prompt, max_tokens, temperature, top_p, seed, ignore_eos } = settings
  return { model: model.name, prompt, max_tokens, temperature, top_p, seed, ...(ignore_eos ? { ignore_eos } : {}), steering }
}

export const asJSON = (settings, steering, model) => JSON.stringify(request(settings, steering, model), null, 2)

export function asPython(settings, steering, model) {
  const { steering: own, ignore_eos, ...rest } = request(settings, steering, model)
  const extra = `{"steering": ${JSON.stringify(own)}${ignore_eos ? ', "ignore_eos": True' : ''}}`
  const items = Object.entries(rest).map(([name, value]) => `    ${name}=${JSON.stringify(value)},`)
  return `from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${location.origin}/v1`)}, api_key="-")
answer = client.completions.create(
${items.join('\n')}
    extra_body=${extra},
)
print(answer.choices[0].text)
`
}

export function asSwift(settings, steering, model, artifacts) {
  const file = (name) => artifacts.find((artifact) => artifact.name === name)?.file ?? `${name}.safetensors`
  const swiftString = (text) => JSON.stringify(text).replaceAll(/\\u([0-9a-f]{4})/g, '\\u{$1}')
  const applied = vectorsOf(steering).map((vector) => {
    const layers = vector.layers ? `, layers: ${vector.layers[0]}...${vector.layers[0]}` : ''
    return `.steering(${swiftString(file(vector.name))}, strength: ${vector.strength}${layers})`
  })
  return `import Sextant

let model = try LoadedModel(${swiftString(`${model.name}.sxt`)})
let text = try model.generate(
  ${swiftString(settings.prompt)}, count: ${settings.max_tokens},
  temperature: ${settings.temperature}, seed: ${settings.seed}${applied.length ? `,\n  applying: [${applied.join(', ')}]` : ''}
).text()
print(text)
`
}
