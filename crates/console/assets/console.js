// The pages can be read and used without this: it adds keys, the palette, tabs, copying, and following what is under way.
"use strict";

const root = document.documentElement;
const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* only for this page, then */ } };
if (["light", "dark"].includes(stored("theme"))) root.dataset.theme = stored("theme");

const changeTheme = () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  store("theme", root.dataset.theme);
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

  // Said to whoever hears the page, beside the part that changes: what is in that would not be heard.
  const say = (text) => { const said = one("#said"); if (said) said.textContent = text; };

  // Parts of the page are replaced, so the page listens and not each button of them.
  const copy = async (button) => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]"), row = event.target.closest("tr[data-href]");
    if (button) copy(button);
    // Rows lead somewhere.
    else if (row && !event.target.closest("a, button, input, label, summary") && !String(getSelection())) location.href = row.dataset.href;
  });

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
  // Beneath the list of keys nothing is chosen.
  const visible = () => list.hidden ? [] : all("li", list).filter((item) => !item.hidden);
  const mark = () => {
    const items = visible();
    chosen = Math.max(0, Math.min(chosen, items.length - 1));
    for (const [place, item] of all("li", list).entries()) {
      item.id = `command-${place}`;
      item.setAttribute("aria-selected", String(item === items[chosen]));
    }
    if (items[chosen]) input.setAttribute("aria-activedescendant", items[chosen].id);
    else input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-expanded", String(!list.hidden));
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
  const showKeys = (isShown) => { keys.hidden = !isShown; list.hidden = isShown; mark(); };
  // Who dictates, or presses keys without wanting to, does without them ("Character Key Shortcuts", WCAG 2.1.4).
  let areLetters = stored("letters") !== "off";
  const tellLetters = () => { for (const place of all(".letters-are")) place.textContent = areLetters ? "on" : "off"; };
  const changeLetters = () => {
    areLetters = !areLetters;
    store("letters", areLetters ? "on" : "off");
    tellLetters();
    say(`Keys of one letter are ${areLetters ? "on" : "off"}.`);
  };
  tellLetters();
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
    else if (item.dataset.act === "letters") { palette.close(); changeLetters(); }
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

  // To the link of the next row: what the browser does with a link, as by Enter, it does with this one.
  const move = (step) => {
    const rows = all("tr[data-href]");
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
    if (!row) return;
    (all("a", row).find((link) => link.getAttribute("href") === row.dataset.href) ?? one("a", row))?.focus();
    row.scrollIntoView({ block: "nearest" });
  };

  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || palette?.open) return;
    if (event.target.closest("input, textarea, select") || !areLetters) return;
    if (isGoing) {
      isGoing = false;
      const to = all("nav.screens a").find((link) => one("kbd", link).textContent === `g ${event.key}`);
      if (to) { event.preventDefault(); location.href = to.href; }
      return;
    }
    switch (event.key) {
      case "g": isGoing = true; break;
      case "/": event.preventDefault(); one("#find")?.focus(); break;
      // Else it is typed into the field, which asks for the commands.
      case "?": event.preventDefault(); openPalette(true); break;
      case "t": changeTheme(); break;
      case "j": move(1); break;
      case "k": move(-1); break;
      default:
    }
  });

  // A part of the page that changes is asked for again, as often as it says, until it is over. Nobody looks at a hidden page.
  const noAnswer = one("#no-answer");
  // By what an element is known again, where its text or its place may be others.
  const known = (element) => {
    const own = ["href", "name", "class"].map((name) => element.getAttribute(name)).find((value) => value !== null);
    return `${own ?? ""} ${element.closest("form")?.getAttribute("action") ?? ""}`;
  };
  const again = (element, part, fresh) => {
    const alike = (within) => all(element.localName, within).filter((other) => known(other) === known(element));
    return alike(fresh)[alike(part).indexOf(element)];
  };
  const verdict = (part) => one(".verdict", part)?.textContent ?? "";
  const ask = async (part) => {
    try {
      const answer = await fetch(part.dataset.follow, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(60_000) });
      return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(`#${part.id}`) : null;
    } catch { return null; }
  };
  const follow = async (part) => {
    if (document.hidden) { document.addEventListener("visibilitychange", () => follow(part), { once: true }); return; }
    const fresh = await ask(part);
    const told = fresh ? "" : "No answer: what is shown is of before.";
    if (noAnswer.textContent !== told) noAnswer.textContent = told;
    if (!fresh) { later(part); return; }
    // Whoever is somewhere in it by the keyboard stays there; where that is no more, at the part itself.
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const next = focused && again(focused, part, fresh);
    const before = verdict(part);
    part.replaceWith(fresh);
    if (focused) {
      fresh.tabIndex = -1;
      (next && !next.disabled ? next : fresh).focus({ preventScroll: true });
    }
    if (verdict(fresh) !== before) say(verdict(fresh));
    if (fresh.dataset.follow) later(fresh);
  };
  const later = (part) => setTimeout(() => follow(part), Number(part.dataset.every ?? 700));
  for (const part of all("[data-follow]")) later(part);
});
