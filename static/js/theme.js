// What must be right before anything is painted: light or dark, the rail's width, single-key shortcuts on or off.
// Who is logged in has a theme of their own (data-theme on <html>); the log-in shows the one last seen in this browser.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage is forbidden: do without
    }
  };
  const remember = (name, value) => {
    try {
      localStorage.setItem(name, value);
    } catch {
      // Shown now, forgotten later.
    }
  };
  const show = () => {
    const theme = root.dataset.theme || remembered("theme") || "system";
    root.dataset.bsTheme = theme === "light" || theme === "dark" ? theme : system.matches ? "dark" : "light";
  };

  if (root.dataset.theme) remember("theme", root.dataset.theme);
  show();
  system.addEventListener("change", show);
  // The answer of the theme buttons: HX-Trigger {"theme": {"theme": "dark"}}.
  document.addEventListener("theme", (event) => {
    root.dataset.theme = event.detail.theme;
    remember("theme", root.dataset.theme);
    show();
    for (const button of document.querySelectorAll("button[name=theme]")) {
      button.setAttribute("aria-pressed", String(button.value === root.dataset.theme));
    }
  });

  root.dataset.rail = remembered("rail") || (innerWidth < 1100 ? "narrow" : "wide");
  if (remembered("keys") === "off") root.dataset.keys = "off";
})();
