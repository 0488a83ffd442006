// Comforts of the account pages: every page works without this file.
(() => {
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  // Where there is room, the groups of applications are open; on a phone they are folded.
  const groups = [...document.querySelectorAll("#apps details.group")];
  if (matchMedia("(min-width: 48rem)").matches) for (const group of groups) group.open = true;
  // Applications are found while somebody types; the button asks the server for the same.
  const search = document.querySelector("form[data-filters]");
  if (search && groups.length) {
    const words = new Map();
    for (const group of groups) {
      const name = group.querySelector("summary").textContent;
      for (const item of group.querySelectorAll("li")) words.set(item, plain(`${item.textContent} ${name}`));
    }
    const extras = document.querySelectorAll("#apps [data-extra]");
    const count = search.querySelector("[data-count]");
    const opened = new Map(groups.map((group) => [group, group.open]));
    const filter = () => {
      const typed = plain(search.elements.q.value).split(/\s+/).filter(Boolean);
      let found = 0;
      for (const group of groups) {
        let here = 0;
        for (const item of group.querySelectorAll("li")) {
          item.hidden = !typed.every((word) => words.get(item).includes(word));
          if (!item.hidden) here += 1;
        }
        group.hidden = here === 0;
        group.open = typed.length ? here > 0 : opened.get(group);
        found += here;
      }
      for (const extra of extras) extra.hidden = typed.length > 0;
      const text = found === 0 ? "none" : found === 1 ? "one" : "several";
      count.textContent = typed.length ? search.dataset[text].replace("{n}", found) : "";
    };
    search.elements.q.addEventListener("input", filter);
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      filter();
    });
    if (search.elements.q.value) filter();
  }
  // The names within the region that was chosen.
  const address = document.querySelector("form[data-regions]");
  if (address) {
    const button = address.querySelector("[data-regions-button]");
    button.hidden = true;
    const fields = ["address_region", "address_locality", "address_district", "address_village"];
    const fill = async () => {
      const asked = new URLSearchParams(fields.map((name) => [name, address.elements[name].value]));
      const answer = await fetch(`${address.dataset.regions}?${asked}`).catch(() => null);
      const found = answer && answer.ok && !answer.redirected && (await answer.json().catch(() => null));
      if (!found) {
        button.hidden = false;
        return;
      }
      for (const [name, names] of Object.entries(found)) {
        const options = names.map((text) => {
          const option = document.createElement("option");
          option.value = text;
          return option;
        });
        document.getElementById(`${name}-names`).replaceChildren(...options);
      }
    };
    for (const name of fields.slice(0, 3)) address.elements[name].addEventListener("change", fill);
  }
  for (const button of document.querySelectorAll("button[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
})();
