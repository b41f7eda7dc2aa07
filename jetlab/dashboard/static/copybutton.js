// Copies inside the click itself, because browsers allow the clipboard only then. Without text it copies the address.
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text)
  const area = document.createElement("textarea")
  area.value = text
  area.style.position = "fixed"
  document.body.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  if (!done) throw new Error("refused")
}

export function render({ model, el }) {
  const button = document.createElement("button")
  button.className = "copy"
  button.title = model.tip
  button.textContent = model.label
  button.addEventListener("click", async () => {
    try {
      await copy(model.text || window.location.href)
      button.textContent = model.done
    } catch {
      button.textContent = "The browser refused"
    }
    setTimeout(() => { button.textContent = model.label }, 1600)
  })
  el.append(button)
}
