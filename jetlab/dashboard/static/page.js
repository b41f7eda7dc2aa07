// What only the browser can do for the page: address, theme, view, and the word when the connection is lost.

// When a figure shrinks, Bokeh leaves lines of the wider frame standing; a fresh layout removes them.
function layOut(view) {
  if (view.model?.type === "Figure") view.invalidate_layout?.()
  for (const child of view.child_views ?? []) layOut(child)
}

function layOutAll() {
  for (const view of window.Bokeh.index.roots) layOut(view)
}

function followResize() {
  let pause
  window.addEventListener("resize", () => {
    clearTimeout(pause)
    pause = setTimeout(layOutAll, 300)
  })
}

export function render({ model }) {
  const address = () => {
    if (model.query) window.history.replaceState(null, "", `${window.location.pathname}?${model.query}`)
  }
  const theme = () => { document.documentElement.dataset.theme = model.theme }
  const view = () => {
    document.documentElement.dataset.view = model.view
    window.scrollTo(0, 0)
    setTimeout(layOutAll, 50)
  }
  document.getElementById("jl-theme").onclick = () => { model.theme = model.theme === "dark" ? "light" : "dark" }
  model.on("query", address)
  model.on("theme", theme)
  model.on("view", view)
  address()
  theme()
  followResize()
  const lost = () => { document.getElementById("jl-lost").hidden = false }
  for (const document of window.Bokeh.documents) document.on_event("connection_lost", lost)
}
