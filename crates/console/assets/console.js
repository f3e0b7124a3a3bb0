// The pages can be read and used without this: it adds keys, the palette, tabs, copying, and following what is under way.
"use strict";

const root = document.documentElement;
const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
if (["light", "dark"].includes(stored())) root.dataset.theme = stored();

const changeTheme = () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* only for this page, then */ }
};

document.addEventListener("DOMContentLoaded", () => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // On a phone the screens are a line that scrolls: the own one is to be seen. scrollIntoView() would move the page as well.
  const screens = one(".screens"), own = one(".screens [aria-current]");
  const showOwn = () => {
    if (own) screens.scrollLeft = own.offsetLeft - screens.offsetLeft - (screens.clientWidth - own.offsetWidth) / 2;
  };
  showOwn();
  addEventListener("resize", showOwn);

  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }

  // Tabs ("Tabs Pattern", ARIA Authoring Practices Guide).
  for (const box of all("[data-tabs]")) {
    const tabs = all("[role=tab]", box);
    const choose = (tab, isMoved) => {
      for (const other of tabs) {
        const isChosen = other === tab;
        other.setAttribute("aria-selected", String(isChosen));
        other.tabIndex = isChosen ? 0 : -1;
        document.getElementById(other.getAttribute("aria-controls")).hidden = !isChosen;
      }
      if (isMoved) { tab.focus(); history.replaceState(null, "", tab.hash); }
    };
    box.classList.add("ready");
    choose(tabs.find((tab) => tab.hash === location.hash) ?? tabs[0], false);
    for (const [place, tab] of tabs.entries()) {
      tab.addEventListener("click", (event) => { event.preventDefault(); choose(tab, true); });
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) { event.preventDefault(); choose(tabs[(place + step + tabs.length) % tabs.length], true); }
        if (event.key === " ") { event.preventDefault(); choose(tab, true); }
      });
    }
  }

  for (const button of all("[data-choose]")) {
    button.addEventListener("click", () => {
      const boxes = all(`input[name="${button.dataset.choose}"]`, button.form);
      const isAll = boxes.every((box) => box.checked);
      for (const box of boxes) box.checked = !isAll;
    });
  }

  one("#theme")?.addEventListener("click", changeTheme);

  // The palette ("Combobox Pattern", ARIA Authoring Practices Guide).
  const palette = one("#palette");
  const input = one("#palette-input");
  const list = one("#palette-list");
  const keys = one("#palette-keys");
  let chosen = 0;
  const visible = () => all("li", list).filter((item) => !item.hidden);
  const mark = () => {
    const items = visible();
    chosen = Math.max(0, Math.min(chosen, items.length - 1));
    for (const [place, item] of all("li", list).entries()) {
      item.id = `command-${place}`;
      item.setAttribute("aria-selected", String(item === items[chosen]));
    }
    if (items[chosen]) input.setAttribute("aria-activedescendant", items[chosen].id);
    items[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const filter = () => {
    const text = input.value.trim();
    for (const item of all("li", list)) {
      if (item.dataset.find) {
        item.hidden = text === "";
        one("b", item).textContent = text;
      } else {
        item.hidden = !item.textContent.toLowerCase().includes(text.toLowerCase());
      }
    }
    chosen = 0;
    mark();
  };
  const showKeys = (isShown) => { keys.hidden = !isShown; list.hidden = isShown; };
  const openPalette = (isKeys = false) => {
    if (!palette || palette.open) return;
    input.value = "";
    showKeys(isKeys);
    filter();
    palette.showModal();
  };
  const act = (item) => {
    if (!item) return;
    if (item.dataset.act === "theme") { changeTheme(); palette.close(); }
    else if (item.dataset.act === "keys") showKeys(true);
    else if (item.dataset.find) location.href = item.dataset.find + encodeURIComponent(input.value.trim());
    else location.href = item.dataset.href;
  };
  if (palette) {
    one("#palette-open").addEventListener("click", () => openPalette());
    input.addEventListener("input", () => { showKeys(false); filter(); });
    input.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); chosen += step; mark(); }
      if (event.key === "Enter") { event.preventDefault(); act(visible()[chosen]); }
    });
    list.addEventListener("click", (event) => act(event.target.closest("li")));
    palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
  }

  // Rows that lead somewhere.
  const rows = all("tr[data-href]");
  let row = -1;
  const move = (step) => {
    if (rows.length === 0) return;
    rows[row]?.classList.remove("at");
    row = Math.max(0, Math.min(rows.length - 1, row + step));
    rows[row].classList.add("at");
    rows[row].scrollIntoView({ block: "nearest" });
  };
  for (const each of rows) {
    each.addEventListener("click", (event) => {
      if (!event.target.closest("a, button, input, label") && !String(getSelection())) location.href = each.dataset.href;
    });
  }

  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || palette?.open) return;
    if (event.target.closest("input, textarea, select")) return;
    if (isGoing) {
      isGoing = false;
      const to = all("nav.screens a").find((link) => one("kbd", link).textContent === `g ${event.key}`);
      if (to) { event.preventDefault(); location.href = to.href; }
      return;
    }
    switch (event.key) {
      case "g": isGoing = true; break;
      case "/": event.preventDefault(); one("#find")?.focus(); break;
      case "?": openPalette(true); break;
      case "t": changeTheme(); break;
      case "j": move(1); break;
      case "k": move(-1); break;
      case "Enter": if (row >= 0 && !event.target.closest("a, button")) location.href = rows[row].dataset.href; break;
      default:
    }
  });

  // A part of the page that changes is asked for again, as often as it says, until it is over. Nobody looks at a hidden page, and
  // what has the focus stays.
  const follow = async (part) => {
    const later = (next) => setTimeout(() => follow(next), Number(next.dataset.every ?? 700));
    if (document.hidden || part.matches(":focus-within")) { later(part); return; }
    const answer = await fetch(part.dataset.follow, { headers: { accept: "text/html" } }).catch(() => null);
    const fresh = answer?.ok && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(`#${part.id}`);
    if (!fresh) { later(part); return; }
    part.replaceWith(fresh);
    if (fresh.dataset.follow) later(fresh);
  };
  for (const part of all("[data-follow]")) setTimeout(() => follow(part), Number(part.dataset.every ?? 700));
});
