// A lead's page: its single keys, Esc to leave a form, and keeping what somebody types when the rest is fetched anew.
(() => {
  const root = document.documentElement;
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape") {
      const form = event.target.closest("#facts form");
      form?.querySelector("[data-cancel]")?.click();
      return;
    }
    if (root.dataset.keys === "off" || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const wanted = event.key.length === 1 && document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!wanted) return;
    event.preventDefault();
    if (wanted.matches("select, input, textarea")) {
      wanted.scrollIntoView({ block: "center" });
      wanted.focus();
    } else {
      wanted.click();
    }
  });

  // In a dialog a link back only closes it.
  document.addEventListener("click", (event) => {
    if (event.target.closest("dialog a[data-close]")) event.preventDefault();
  });

  // A dot of the curve opens its event in a window; htmx asks for it, but takes only links of HTML for links.
  document.addEventListener("click", (event) => {
    if (event.target.closest("svg a[hx-get]") && !event.ctrlKey && !event.metaKey && !event.shiftKey) event.preventDefault();
  });

  // A fact that is swapped while it has the focus keeps it.
  let held = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target } = event.detail;
    if (target.id.startsWith("fact-")) held = target.contains(document.activeElement) ? target.id : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (!held || document.activeElement !== document.body) return;
    document.getElementById(held)?.querySelector(".fact-value, [autofocus]")?.focus();
    held = null;
  });

  // After a tab or a form was swapped in, it is seen whole.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "write" && event.detail.requestConfig.verb === "get") {
      document.getElementById("write").scrollIntoView({ block: "nearest" });
    }
  });
})();
