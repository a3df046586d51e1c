// The board: refreshing that keeps the page as it is, moves by drag, touch and keyboard, the card menu, selection.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const live = $("#live");
  if (!live) return;
  const menu = $("#card-menu");
  const dialog = $("#board-dialog");
  const moveForm = $("#board-move");
  const bar = $("#selection");
  const selected = new Set();
  const served = new WeakMap(); // element → its HTML as the server sent it
  const uidOf = (card) => card.dataset.card.split(".")[0];
  const busy = () => Boolean(drag?.ghost) || menu.matches(":popover-open") || dialog.open;
  let drag = null;
  let held = null; // the card the menu belongs to

  // --- refresh: only what differs is touched, so scroll, focus and selection stay

  function remember(root) {
    all("[data-part], [data-card], .cards-foot", root).forEach((part) => served.set(part, part.outerHTML));
  }

  function renew(old, fresh) {
    if (served.get(old) === fresh.outerHTML) return old;
    const node = document.importNode(fresh, true);
    served.set(node, fresh.outerHTML);
    old.replaceWith(node);
    htmx.process(node);
    return node;
  }

  function renewCards(list, freshList, leaving) {
    const staying = new Set();
    let at = list.firstElementChild;
    for (const fresh of [...freshList.children]) {
      let mine = document.getElementById(fresh.id);
      if (mine && mine === at) {
        mine = renew(mine, fresh);
        at = mine;
      } else if (mine) {
        mine = renew(mine, fresh);
      } else {
        mine = document.importNode(fresh, true);
        served.set(mine, fresh.outerHTML);
        htmx.process(mine);
      }
      if (mine === at) at = at.nextElementSibling;
      else list.insertBefore(mine, at);
      staying.add(mine);
    }
    leaving.push(...[...list.children].filter((card) => !staying.has(card)).map((card) => [card, list]));
  }

  function patch(fresh) {
    const board = $("#board");
    const ids = (root) => all("[data-stage], [data-cards]", root).map((part) => part.id || "cards").join();
    const focused = document.activeElement?.closest?.("[data-card]");
    const what = document.activeElement?.matches?.(".card-more") ? ".card-more" : ".card-link";
    const place = focused && { id: focused.id, list: focused.parentElement, index: [...focused.parentElement.children].indexOf(focused) };
    if (!ids(board) || ids(board) !== ids(fresh)) {
      const node = document.importNode(fresh, true);
      remember(node);
      board.replaceWith(node);
      htmx.process(node);
      watchTabs();
    } else {
      all("[data-part]", fresh).forEach((part) => renew(document.getElementById(part.id), part));
      const leaving = [];
      const lists = all("[data-cards]", board);
      all("[data-cards]", fresh).forEach((list, n) => renewCards(lists[n], list, leaving));
      leaving.forEach(([card, list]) => card.parentElement === list && card.remove());
      $("#board-seen").value = $("#board-seen", fresh).value;
    }
    const total = Number(fresh.dataset.total);
    $("#board-total").textContent = `${total.toLocaleString("en")} lead${total === 1 ? "" : "s"}`;
    showSelection();
    if (place) refocus(place, what);
  }

  function refocus(place, what) {
    const card = document.getElementById(place.id) || all("[data-card]", place.list)[Math.max(0, place.index - 1)];
    if (card && !card.contains(document.activeElement)) $(what, card)?.focus({ preventScroll: true });
  }

  function take(text) {
    const answer = new DOMParser().parseFromString(text, "text/html");
    const fresh = $("#board", answer);
    if (fresh) patch(fresh);
  }

  const isRefresh = (event) => event.detail.elt === live || event.detail.requestConfig?.elt === live;
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.target?.id !== "board") return;
    const long = all("[data-cards]").map((list) => [list.closest("[data-stage]").dataset.stage, all("[data-card]", list).length]);
    event.detail.parameters.shown = long.filter(([, count]) => count > 50).map(([stage, count]) => `${stage}:${Math.ceil(count / 50) * 50}`).join();
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isRefresh(event) && (document.hidden || busy())) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (target?.id !== "board") return;
    event.detail.shouldSwap = false;
    live.firstElementChild.hidden = true;
    if (xhr.status === 422) ask(xhr.responseText);
    else if (xhr.status >= 400) settle();
    else if (xhr.status !== 204 && !(isRefresh(event) && busy())) {
      if (dialog.open) dialog.close();
      take(xhr.responseText);
    }
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (isRefresh(event)) live.firstElementChild.hidden = false;
    else settle();
  });

  function settle() {
    all(".is-moving").forEach((card) => card.classList.remove("is-moving"));
  }

  // --- moving

  const partyOf = (card) => (selected.has(uidOf(card)) ? all("[data-card]").filter((one) => selected.has(uidOf(one))) : [card]);

  function move(cards, stage) {
    const names = cards.filter((card) => card.closest("[data-stage]").dataset.stage !== stage);
    if (!names.length) return;
    all("[data-made]", moveForm).forEach((input) => input.remove());
    for (const [name, value] of [["stage", stage], ...names.map((card) => ["lead", card.dataset.card])]) {
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name, value });
      input.dataset.made = "";
      moveForm.append(input);
    }
    names.forEach((card) => card.classList.add("is-moving"));
    selected.clear();
    moveForm.requestSubmit();
  }

  function ask(html) {
    settle();
    dialog.innerHTML = html; // our own form, asked for by us
    htmx.process(dialog);
    if (!dialog.open) dialog.showModal();
    ($(".is-invalid, [name=reason]", dialog) || $("select, input:not([type=hidden])", dialog))?.focus();
  }
  dialog.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]")) event.preventDefault(); // the shell closes it; the link is for pages without scripts
  });

  function reject(card) {
    const address = $(".card-more", card).dataset.reject;
    if (address) htmx.ajax("GET", address, { source: card, target: "#dialog", swap: "innerHTML" });
  }

  // --- drag: a mouse lifts a card by moving, a finger by resting on it

  document.addEventListener("pointerdown", (event) => {
    const card = event.target.closest("[data-card]");
    if (!card || event.button || !event.isPrimary || event.target.closest(".card-more")) return;
    drag = { card, x: event.clientX, y: event.clientY, byTouch: event.pointerType !== "mouse" };
    if (drag.byTouch) drag.timer = setTimeout(lift, 350);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y);
    if (!drag.ghost && drag.byTouch && far > 8) drop();
    else if (!drag.ghost && !drag.byTouch && far > 5) lift();
    if (drag?.ghost) follow(event.clientX, event.clientY);
  });
  document.addEventListener("pointerup", () => {
    const { ghost, card, over, moved, byTouch } = drag || {};
    drop();
    if (!ghost) return;
    // The click that follows belongs to the drag, not to what lies under it.
    if (byTouch) document.addEventListener("touchend", (event) => event.preventDefault(), { passive: false, once: true });
    else document.addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => document.removeEventListener("click", stop, true), 0);
    if (over) move(partyOf(card), over.dataset.stage);
    else if (byTouch && !moved) setTimeout(() => openMenu(card)); // after the browser has closed what this touch was beside
  });
  document.addEventListener("pointercancel", () => drop());
  document.addEventListener("dragstart", (event) => event.target.closest("[data-card]") && event.preventDefault());
  document.addEventListener("touchmove", (event) => drag?.ghost && event.preventDefault(), { passive: false });

  function stop(event) {
    event.preventDefault();
    event.stopPropagation();
  }

  function lift() {
    const box = drag.card.getBoundingClientRect();
    const count = partyOf(drag.card).length;
    drag.ghost = drag.card.cloneNode(true);
    drag.ghost.removeAttribute("id");
    drag.ghost.classList.add("is-ghost");
    if (count > 1) drag.ghost.dataset.count = count;
    drag.ghost.style.width = `${box.width}px`;
    drag.offset = { x: drag.x - box.left, y: drag.y - box.top };
    drag.from = drag.card.closest("[data-stage]").dataset.stage;
    partyOf(drag.card).forEach((card) => card.classList.add("is-lifted"));
    document.body.append(drag.ghost);
    document.documentElement.classList.add("is-dragging");
    follow(drag.x, drag.y);
    drag.scrolling = setInterval(scrollAlong, 16);
  }

  function follow(x, y) {
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 8;
    Object.assign(drag, { atX: x, atY: y });
    drag.ghost.style.transform = `translate(${x - drag.offset.x}px, ${y - drag.offset.y}px)`;
    const over = document.elementFromPoint(x, y)?.closest("[data-stage]");
    const target = over && over.dataset.stage !== drag.from ? over : null;
    if (target === drag.over) return;
    drag.over?.classList.remove("is-target");
    target?.classList.add("is-target");
    drag.over = target;
  }

  function scrollAlong() {
    const board = $(".board");
    const box = board.getBoundingClientRect();
    const edge = 36;
    if (drag.moved && drag.atX < box.left + edge) board.scrollLeft -= 10;
    if (drag.moved && drag.atX > box.right - edge) board.scrollLeft += 10;
    const list = drag.over && $("[data-cards]", drag.over);
    if (list && drag.atY > window.innerHeight - edge) list.scrollTop += 10;
  }

  function drop() {
    if (!drag) return;
    clearTimeout(drag.timer);
    clearInterval(drag.scrolling);
    drag.ghost?.remove();
    drag.over?.classList.remove("is-target");
    all(".is-lifted").forEach((card) => card.classList.remove("is-lifted"));
    document.documentElement.classList.remove("is-dragging");
    drag = null;
  }

  // --- the menu of a card

  const items = () => all("[role=menuitem]", menu).filter((item) => !item.hidden && !item.disabled);

  function openMenu(card, at, first = "[role=menuitem]") {
    held = card;
    const party = partyOf(card);
    const company = $(".card-more", card).dataset.company;
    const here = card.closest("[data-stage]")?.dataset.stage;
    $("[data-menu-name]", menu).textContent = party.length > 1 ? `${party.length} leads` : $("[data-name]", card).textContent;
    $("[data-act=open]", menu).href = $(".card-link", card).href;
    $("[data-act=open]", menu).hidden = party.length > 1;
    $("[data-act=company]", menu).hidden = !company || party.length > 1;
    $("[data-act=company]", menu).href = `?${new URLSearchParams({ company, owner: "all" })}`;
    $("[data-act=reject]", menu).hidden = !$(".card-more", card).dataset.reject || party.length > 1;
    $("[data-act=select] span", menu).textContent = selected.has(uidOf(card)) ? "Deselect" : "Select";
    all("[data-to]", menu).forEach((item) => (item.disabled = party.length === 1 && item.dataset.to === here));
    menu.showPopover();
    const box = card.getBoundingClientRect();
    const { x, y } = at || { x: box.right - menu.offsetWidth, y: box.top + 28 };
    menu.style.left = `${Math.max(8, Math.min(x, innerWidth - menu.offsetWidth - 8))}px`;
    menu.style.top = `${Math.max(8, Math.min(y, innerHeight - menu.offsetHeight - 8))}px`;
    (items().find((item) => item.matches(first)) || items()[0]).focus();
  }

  function closeMenu() {
    const card = held;
    held = null;
    menu.hidePopover();
    if (card?.isConnected) $(".card-link", card).focus({ preventScroll: true });
    return card;
  }

  menu.addEventListener("click", (event) => {
    const item = event.target.closest("[role=menuitem]");
    if (!item || item.href) return;
    const card = closeMenu();
    if (item.dataset.act === "select") toggle(card);
    else if (item.dataset.act === "reject") reject(card);
    else if (item.dataset.to) move(partyOf(card), item.dataset.to);
  });
  menu.addEventListener("keydown", (event) => {
    const list = items();
    const at = list.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: -1 }[event.key];
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "Tab") closeMenu();
    else if (to !== undefined) list.at(to % list.length).focus();
    else return;
    event.preventDefault();
  });
  document.addEventListener("contextmenu", (event) => {
    const card = event.target.closest("[data-card]");
    if (!card || event.shiftKey) return;
    event.preventDefault();
    if (!drag?.byTouch) openMenu(card, event.clientX ? { x: event.clientX, y: event.clientY } : undefined);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".card-more");
    if (!button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const box = button.getBoundingClientRect();
    openMenu(button.closest("[data-card]"), { x: box.left, y: box.bottom + 2 });
  });

  // --- selection

  function toggle(card) {
    const uid = uidOf(card);
    if (!selected.delete(uid)) selected.add(uid);
    showSelection();
  }

  function showSelection() {
    const cards = all("#board [data-card]");
    const here = new Set(cards.map(uidOf));
    selected.forEach((uid) => here.has(uid) || selected.delete(uid));
    cards.forEach((card) => card.classList.toggle("is-selected", selected.has(uidOf(card))));
    bar.hidden = !selected.size;
    $("[data-count]", bar).textContent = `${selected.size} selected`;
  }

  bar.addEventListener("click", (event) => {
    const act = event.target.closest("button")?.dataset.act;
    if (act === "clear") selected.clear();
    const card = all("[data-card]").find((one) => selected.has(uidOf(one)));
    if (act === "move-selected" && card) openMenu(card, { x: event.clientX, y: event.clientY - 200 }, "[data-to]");
    showSelection();
  });

  // --- keyboard

  function step(card, key) {
    const columns = all("[data-cards]").map((list) => all("[data-card]", list)).filter((cards) => cards.length);
    if (!columns.length) return;
    const column = columns.findIndex((cards) => cards.includes(card));
    const row = column < 0 ? -1 : columns[column].indexOf(card);
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const next = sideways
      ? columns[Math.max(0, Math.min(columns.length - 1, column + sideways))]
      : columns[Math.max(0, column)];
    const at = sideways ? Math.min(Math.max(row, 0), next.length - 1) : row + (key === "j" || key === "ArrowDown" ? 1 : -1);
    const target = next[Math.max(0, Math.min(at, next.length - 1))];
    $(".card-link", target).focus();
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drag?.ghost) return drop();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog, [contenteditable]")) return;
    const card = document.activeElement?.closest("[data-card]");
    const acts = {
      j: () => step(card, "j"),
      k: () => step(card, "k"),
      "/": () => $("#board-q").focus(),
    };
    if (card) {
      for (const key of ["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"]) acts[key] = () => step(card, key);
      acts.m = () => openMenu(card, undefined, "[data-to]");
      acts["."] = () => openMenu(card);
      acts.x = () => toggle(card);
      acts.r = () => reject(card);
    }
    if (event.key === "Escape" && selected.size) acts.Escape = () => (selected.clear(), showSelection());
    if (!acts[event.key] || event.defaultPrevented) return;
    event.preventDefault();
    acts[event.key]();
  });

  // --- phone: the tab of the column in sight

  function watchTabs() {
    const board = $(".board");
    if (!board) return;
    const watcher = new IntersectionObserver(
      (entries) =>
        entries.forEach(({ target, isIntersecting }) => {
          const tab = document.getElementById(`tab-${target.dataset.stage}`);
          tab?.classList.toggle("is-here", isIntersecting);
          if (tab && isIntersecting) tab.parentElement.scrollLeft = tab.offsetLeft - 12;
        }),
      { root: board, threshold: 0.6 },
    );
    all(".column", board).forEach((column) => watcher.observe(column));
  }

  document.addEventListener("click", (event) => {
    const tab = event.target.closest(".jumps a");
    if (tab) {
      event.preventDefault();
      $(tab.getAttribute("href")).scrollIntoView({ inline: "start", block: "nearest" });
    }
  });

  // On a phone begin with the first column that shows cards.
  function skipFolded() {
    const board = $(".board");
    if (board && !location.hash && $(".column", board).matches(".is-folded")) {
      if (matchMedia("(max-width: 767.98px)").matches) board.scrollLeft = all(".column", board)[1]?.offsetLeft || 0;
    }
  }

  document.documentElement.classList.add("has-board-js");
  skipFolded();
  remember(document);
  watchTabs();
})();
