// Comforts only: every page works without this file.
(() => {
  for (const button of document.querySelectorAll("button[data-shows]")) {
    const field = document.getElementById(button.dataset.shows);
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = field.type === "text";
      field.type = shown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!shown));
      field.focus();
    });
  }
  // How many characters a new password lacks, counted at once; and how strong it is, asked for when it is long enough.
  for (const field of document.querySelectorAll("input[data-strength]")) {
    const meter = field.parentElement.querySelector(".meter");
    const words = field.dataset.words.split("|");
    const live = meter.querySelector("[aria-live]");
    const shown = meter.querySelector(".count") || live;
    let wait;
    const missing = () => Number(field.dataset.minimum || 0) - [...field.value.normalize("NFKC")].length;
    const tell = (text, value) => {
      meter.hidden = false;
      meter.querySelector("progress").value = value;
      shown.textContent = text;
    };
    const ask = async () => {
      if (!field.value) return;
      if (missing() > 0) {
        live.textContent = shown.textContent; // read out when the typing pauses, not at each key
        return;
      }
      const named = field.form.elements.name;
      const body = new URLSearchParams({
        csrf_token: field.dataset.strength,
        password: field.value,
        second: field.dataset.second,
        name: named ? named.value : field.dataset.person,
      });
      const answer = await fetch("/password-strength", { method: "POST", body }).catch(() => null);
      const found = answer && answer.ok && (await answer.json().catch(() => null));
      if (!found || !field.value || missing() > 0) return;
      const text = found.missing ? field.dataset.missing.replace("{n}", found.missing) : words[found.score];
      tell(text, found.missing ? Math.min(found.score, 1) : found.score);
      live.textContent = text;
    };
    field.addEventListener("input", () => {
      if (!field.value) {
        meter.hidden = true;
        return;
      }
      if (missing() > 0) tell(field.dataset.missing.replace("{n}", missing()), 0);
      else shown.textContent = "";
      clearTimeout(wait);
      wait = setTimeout(ask, 300);
    });
  }
  for (const button of document.querySelectorAll("button[data-copies]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      const text = [...document.querySelector(button.dataset.copies).children].map((one) => one.textContent);
      navigator.clipboard.writeText(text.join("\n"));
    });
  }
  for (const button of document.querySelectorAll("button[data-prints]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
  // On a phone the menu of an area and tabs are one row: the present page stands in its middle, between its neighbours.
  for (const row of document.querySelectorAll(".own > nav ul, nav.tabs ul")) {
    const present = row.querySelector("[aria-current]");
    const fade = () => row.classList.toggle("more-before", row.scrollLeft > 3);
    row.addEventListener("scroll", fade, { passive: true });
    if (present) row.scrollLeft = present.offsetLeft - row.offsetLeft - (row.clientWidth - present.offsetWidth) / 2;
    fade();
  }
  // The first field with an error has the focus; where the error is of no field, the summary has it.
  const summary = document.querySelector("#problem[role=alert]");
  const wrong = document.querySelector("main [aria-invalid=true][autofocus]") || document.querySelector("main [aria-invalid=true]");
  if (summary) (wrong || summary).focus();
  // The menu of the account closes like every menu.
  const menu = document.querySelector("details.menu");
  if (menu) {
    document.addEventListener("click", (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }
  // A second tap on a slow phone must not send the form twice; a button that takes long says so.
  const live = document.createElement("p");
  live.className = "unseen";
  live.setAttribute("aria-live", "polite");
  document.body.append(live);
  const waiting = [];
  const wait = (button) => {
    const text = button.dataset.busy || document.body.dataset.busy;
    waiting.push([button, [...button.childNodes]]);
    button.dataset.waits = "";
    button.setAttribute("aria-disabled", "true");
    if (text) button.replaceChildren(text);
    live.textContent = text || "";
  };
  for (const form of document.forms) {
    if ("again" in form.dataset) continue;
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      for (const field of form.querySelectorAll("input[data-hides]")) field.type = "password";
      const pressed = event.submitter || form.querySelector("button:not([type=button])");
      if (pressed && form.method === "post") setTimeout(() => form.dataset.sent && wait(pressed), 400);
    });
  }
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
    for (const [button, content] of waiting.splice(0)) {
      delete button.dataset.waits;
      button.removeAttribute("aria-disabled");
      button.replaceChildren(...content);
    }
    live.textContent = "";
  });
})();
