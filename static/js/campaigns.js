// The mail beside its words follows the typing. Each look gets a frame of its own, so that the back button still leads back.
(() => {
  const form = document.getElementById("content-form");
  const holder = document.getElementById("look-frame");
  const button = document.getElementById("look-now");
  if (!form || !holder || !button) return;

  let timer = 0;
  let number = 0;

  const look = () => {
    const old = [...holder.children];
    const frame = old[0].cloneNode(false);
    number += 1;
    frame.name = `look-${number}`;
    frame.removeAttribute("src");
    frame.classList.add("is-coming");
    holder.append(frame);
    button.setAttribute("formtarget", frame.name);
    form.requestSubmit(button);
    frame.addEventListener("load", () => {
      if (frame.name !== `look-${number}`) return;
      frame.classList.remove("is-coming");
      for (const each of [...holder.children]) if (each !== frame) each.remove();
    });
  };

  const soon = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(look, wait);
  };

  form.addEventListener("input", (event) => {
    if (event.target.name !== "width") soon(event.target.type === "radio" ? 0 : 450);
  });
  button.hidden = true;

  // Leaving with unsaved words asks first.
  let dirty = false;
  form.addEventListener("input", (event) => {
    if (["subject", "body", "text"].includes(event.target.name)) dirty = true;
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter !== button) dirty = false;
  });
  addEventListener("beforeunload", (event) => {
    if (dirty) event.preventDefault();
  });
})();
