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
      const answer = await fetch("/password-strength", { method: "POST", body });
      if (!answer.ok) return;
      const found = await answer.json();
      if (!field.value || missing() > 0) return;
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
  // On a phone the ways to one's own pages are one row: the present one is brought into view.
  const row = document.querySelector(".own nav ul");
  const present = row && row.querySelector("[aria-current]");
  if (present) row.scrollLeft = present.offsetLeft - row.offsetLeft - 3;
  // A second tap on a slow phone must not send the form twice.
  for (const form of document.forms) {
    if ("again" in form.dataset) continue;
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      for (const field of form.querySelectorAll("input[data-hides]")) field.type = "password";
    });
  }
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
