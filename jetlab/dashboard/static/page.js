// What only the browser can do for the page: address, theme, and the word when the connection is lost.
export function render({ model }) {
  const address = () => {
    if (model.query) window.history.replaceState(null, "", `${window.location.pathname}?${model.query}`)
  }
  const theme = () => { document.documentElement.dataset.theme = model.theme }
  document.getElementById("jl-theme").onclick = () => { model.theme = model.theme === "dark" ? "light" : "dark" }
  model.on("query", address)
  model.on("theme", theme)
  address()
  theme()
  const lost = () => { document.getElementById("jl-lost").hidden = false }
  for (const document of window.Bokeh.documents) document.on_event("connection_lost", lost)
}
