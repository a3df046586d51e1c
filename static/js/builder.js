// The forms of the scoring model: a key that follows the name, and a builder that takes nothing typed away while it is fetched anew.
(() => {
  document.querySelectorAll("[data-without-script]").forEach((button) => { button.hidden = true; });

  // --- the key is made of the name until somebody writes one
  const key = document.querySelector("[data-follows]");
  const name = key && document.getElementById(key.dataset.follows);
  const made = (text) => text.normalize("NFKD").replace(/[^\w\s-]/g, "").trim().toLowerCase().replace(/[-\s]+/g, "-").replace(/^[-_]+|[-_]+$/g, "").slice(0, 80);
  if (name && (!key.value || key.value === made(name.value))) {
    let follows = true;
    key.addEventListener("input", () => { follows = key.value === ""; });
    name.addEventListener("input", () => { if (follows) key.value = made(name.value); });
  }

  // --- what is typed between asking and the answer stays
  const inputs = () => [...document.querySelectorAll("#builder :is(input:not([type=hidden]), textarea, select)")];
  let asked = new Map();
  let typed = [];
  let open = [];
  const isBuilder = (event) => event.detail.target?.id === "builder";
  document.addEventListener("htmx:beforeSend", (event) => {
    if (isBuilder(event)) asked = new Map(inputs().map((input) => [input.id, input.value]));
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isBuilder(event)) return;
    open = [...document.querySelectorAll("#builder details[open]")].map((details) => details.id);
    typed = inputs().filter((input) => asked.has(input.id) && asked.get(input.id) !== input.value);
  });
  document.addEventListener("htmx:afterSwap", () => {
    document.querySelectorAll("#builder [data-without-script]").forEach((button) => { button.hidden = true; });
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    open = [];
    for (const old of typed) {
      const input = document.getElementById(old.id);
      if (!input || input.tagName !== old.tagName || input.value === old.value) continue;
      input.value = old.value;
      input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
    }
    typed = [];
  });
})();
