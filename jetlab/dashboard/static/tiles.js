// The verdict strip: one button per observable, reused by name so that nothing flickers while numbers arrive.
const ns = "http://www.w3.org/2000/svg"

function make(tag, className, parent) {
  const element = document.createElement(tag)
  element.className = className
  parent.append(element)
  return element
}

function path(className, svg) {
  const element = document.createElementNS(ns, "path")
  element.setAttribute("class", className)
  svg.append(element)
  return element
}

function createTile(name, model) {
  const button = document.createElement("button")
  button.className = "tile"
  button.dataset.name = name
  button.addEventListener("click", () => { model.selected = name })
  const tile = { button, label: make("span", "label", button) }
  const row = make("span", "row", button)
  tile.value = make("span", "value", row)
  const svg = document.createElementNS(ns, "svg")
  svg.setAttribute("viewBox", "0 0 100 30")
  svg.setAttribute("preserveAspectRatio", "none")
  svg.setAttribute("aria-hidden", "true")
  row.append(svg)
  tile.true = path("true", svg)
  tile.generated = path("generated", svg)
  return tile
}

function fill(tile, data) {
  tile.button.dataset.level = data.level
  tile.button.title = data.tip
  tile.button.setAttribute("aria-label", `${data.label}: ${data.tip}`)
  tile.label.textContent = data.label
  tile.value.textContent = data.value
  tile.true.setAttribute("d", data.true)
  tile.generated.setAttribute("d", data.generated)
}

export function render({ model, el }) {
  const strip = make("div", "strip", el)
  const tiles = new Map()
  const mark = () => {
    for (const [name, tile] of tiles) tile.button.setAttribute("aria-pressed", String(name === model.selected))
  }
  const draw = () => {
    const names = model.tiles.map((data) => data.name)
    for (const [name, tile] of tiles) {
      if (!names.includes(name)) { tile.button.remove(); tiles.delete(name) }
    }
    model.tiles.forEach((data, place) => {
      if (!tiles.has(data.name)) tiles.set(data.name, createTile(data.name, model))
      const tile = tiles.get(data.name)
      fill(tile, data)
      if (strip.children[place] !== tile.button) strip.insertBefore(tile.button, strip.children[place] ?? null)
    })
    mark()
  }
  model.on("tiles", draw)
  model.on("selected", mark)
  draw()
}
