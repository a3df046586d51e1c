// The shell: the rail, menus, dialogs and toasts.
//
// For pages:
//   HX-Trigger {"toast": {"text": "Moved.", "undo": "/address/", "level": "success"}}  shows a toast (leads/toasts.py)
//   hx-target="#dialog" with an answer of <dialog class="window">…</dialog>            opens it as a dialog
//   HX-Trigger {"close-dialog": {}}                                                     closes it
//   data-close on a button                                                              closes the dialog around it
(() => {
  const root = document.documentElement;
  const remember = (name, value) => {
    try {
      localStorage.setItem(name, value);
    } catch {
      // Forgotten with the page.
    }
  };

  // --- rail
  const railSwitch = document.querySelector("[data-rail-switch]");
  const nameRailSwitch = () => {
    const words = root.dataset.rail === "narrow" ? "Widen the rail" : "Narrow the rail";
    railSwitch.setAttribute("aria-label", words);
    railSwitch.title = words;
  };
  if (railSwitch) {
    nameRailSwitch();
    railSwitch.addEventListener("click", () => {
      root.dataset.rail = root.dataset.rail === "narrow" ? "wide" : "narrow";
      remember("rail", root.dataset.rail);
      nameRailSwitch();
    });
  }

  // --- menus: <details data-menu> close on Esc and on a click beside them
  const openMenus = () => document.querySelectorAll("details[data-menu][open]");
  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    for (const menu of openMenus()) {
      menu.open = false;
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    }
  });

  // --- dialogs: the browser traps the focus and gives it back
  const place = document.getElementById("dialog");
  let opener = null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target === place && !place.querySelector("dialog[open]")) opener = document.activeElement;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const dialog = event.detail.target === place && place.querySelector("dialog");
    if (!dialog || dialog.open) return;
    dialog.showModal();
    dialog.addEventListener("close", () => {
      place.replaceChildren();
      if (opener && opener.isConnected) opener.focus();
    });
  });
  document.addEventListener("close-dialog", () => place.querySelector("dialog")?.close());
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
    else if (event.target instanceof HTMLDialogElement && isBeside(event, event.target)) event.target.close();
  });
  const isBeside = (event, dialog) => {
    const box = dialog.getBoundingClientRect();
    return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
  };

  // --- toasts
  const toasts = document.getElementById("toasts");
  const STAYS = { success: 6000, undo: 10000 };
  const finish = (toast) => {
    // Errors stay until they are closed; the others wait while somebody reads or reaches for them.
    const close = document.createElement("button");
    close.type = "button";
    close.className = "toast-close";
    close.setAttribute("aria-label", "Close");
    close.textContent = "×";
    close.addEventListener("click", () => toast.remove());
    toast.append(close);
    if (toast.classList.contains("is-error") || toast.classList.contains("is-warning")) return;
    let timer;
    const start = () => (timer = setTimeout(() => toast.remove(), toast.querySelector("form") ? STAYS.undo : STAYS.success));
    for (const hold of ["mouseenter", "focusin"]) toast.addEventListener(hold, () => clearTimeout(timer));
    for (const release of ["mouseleave", "focusout"]) toast.addEventListener(release, start);
    start();
  };
  const undoForm = (address) => {
    const form = document.createElement("form");
    const button = document.createElement("button");
    button.className = "toast-undo";
    button.textContent = "Undo";
    form.append(button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.closest(".toast-line").remove();
      htmx.ajax("POST", address, { source: document.body, target: document.body, swap: "none" });
    });
    return form;
  };
  const tell = ({ text, undo = "", level = "success" }) => {
    const toast = document.createElement("div");
    toast.className = `toast-line is-${level}`;
    const words = document.createElement("span");
    words.textContent = text;
    toast.append(words);
    if (undo) toast.append(undoForm(undo));
    toasts.append(toast);
    finish(toast);
    while (toasts.children.length > 4) toasts.firstElementChild.remove();
  };
  if (toasts) {
    for (const toast of toasts.querySelectorAll(".toast-line")) finish(toast);
    document.addEventListener("toast", (event) => tell(event.detail));
  }

  // --- what goes wrong on the way
  const WORDS = {
    403: "That is not yours to do. Nothing was changed.",
    404: "It is gone, perhaps moved or forgotten. Load the page again.",
    409: "Somebody was quicker. Load the page again.",
    429: "Too much at once. Wait a moment and try again.",
  };
  const isQuiet = (event) => event.detail.elt instanceof Element && event.detail.elt.closest("[data-quiet]");
  document.addEventListener("htmx:responseError", (event) => {
    if (isQuiet(event)) return;
    const text = WORDS[event.detail.xhr.status] || "Something broke on our side; it may not be saved. Try again.";
    tell({ text, level: "error" });
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (!isQuiet(event)) tell({ text: "No connection. What you typed is still here; try again.", level: "error" });
    });
  }
})();
