// A drop zone that sends a file in chunks; size and name are checked here for the user's sake and again on the server.
const CHUNK = 4_000_000

async function send(file, model) {
  const id = Math.random().toString(36).slice(2)
  const parts = Math.max(1, Math.ceil(file.size / CHUNK))
  for (let part = 0; part < parts; part++) {
    const data = await file.slice(part * CHUNK, (part + 1) * CHUNK).arrayBuffer()
    model.send_msg({ kind: "part", id, name: file.name, size: file.size, part, parts, data })
  }
}

export function render({ model, el }) {
  const zone = document.createElement("label")
  zone.className = "zone"
  const input = document.createElement("input")
  input.type = "file"
  input.accept = model.accept
  const text = document.createElement("span")
  zone.append(input, text)
  el.append(zone)
  const label = () => {
    text.textContent = model.label
    zone.classList.toggle("busy", model.busy)
    input.disabled = model.busy
  }
  const take = (file) => {
    if (!file || model.busy) return
    if (file.size > model.limit) model.send_msg({ kind: "refused", name: file.name, size: file.size })
    else send(file, model)
  }
  input.addEventListener("change", () => { take(input.files[0]); input.value = "" })
  for (const kind of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault()
      zone.classList.toggle("over", kind === "dragover")
      if (kind === "drop") take(event.dataTransfer.files[0])
    })
  }
  model.on("label", label)
  model.on("busy", label)
  label()
}
