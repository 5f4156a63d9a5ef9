"""A page with one canvas of the explorer, and a model that answers in place of a kernel."""

from typing import Final

__all__ = ["build_page"]

_PAGE: Final = """<!doctype html><title>Widget</title><main id="host" style="width: 900px"></main>
<script type="module">
  const trait = "%s";
  const script = new Blob([%s], {type: "text/javascript"});
  const {default: widget} = await import(URL.createObjectURL(script));
  const unpack = (sent) => Object.fromEntries(Object.entries(sent).map(([name, value]) => [name,
    value?.base64 === undefined ? value
      : new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer)]));
  const state = {[trait]: unpack(%s), label: "Runs of two appliances", help: "Arrow keys move."};
  const listeners = {};
  window.sent = [];
  window.model = {
    get: (name) => state[name],
    on: (name, act) => (listeners[name] ??= []).push(act),
    off: () => {},
    send: (message) => window.sent.push(message),
  };
  window.tell = (name, content) => listeners[name].forEach((act) => act(content));
  window.load = (sent) => { state[trait] = unpack(sent); window.tell(`change:${trait}`); };
  window.end = widget.render({model: window.model, el: document.getElementById("host")});
</script>"""


def build_page(script: str, trait: str, content: str) -> str:
    """Return a page that renders a script with the content of a trait, both as JavaScript.

    `sent` has the messages of the widget; `load` changes the content, `tell` calls what listens to
    an event, and `end` ends the widget.
    """
    return _PAGE % (trait, script, content.replace("</", "<\\/"))
