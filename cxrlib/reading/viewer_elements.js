// DOM elements in one expression, keys written as keys, and colours that follow the page.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A letter stands for a place on the keyboard; the cap shows what is printed there once that is known.
export function keyCap(key) {
  const code = /^[A-Z]$/.test(key) ? `Key${key}` : null;
  return element("kbd", { text: key, "data-code": code, "aria-hidden": "true" });
}

// A button that shows its key; `keys` is what assistive technology announces.
export function button(label, key, onclick, properties = {}) {
  return element(
    "button",
    { type: "button", onclick, "aria-keyshortcuts": key || undefined, ...properties },
    element("span", { class: "label", text: label }),
    key ? keyCap(key) : null,
  );
}

// JupyterLab says on the body whether its theme is light. Elsewhere a reading is dark, as the room should be.
export function followTheme(root) {
  const apply = () => { root.dataset.theme = document.body.dataset.jpThemeLight === "true" ? "light" : "dark"; };
  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  apply();
  return () => observer.disconnect();
}
