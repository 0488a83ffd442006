// The page notices the first sign-in by itself. Without this file, a link checks.
(() => {
  const notice = document.querySelector("[data-watch]");
  if (!notice) return;
  let left = 200;
  const ask = async () => {
    left -= 1;
    if (document.visibilityState === "visible") {
      const answer = await fetch(notice.dataset.watch).catch(() => null);
      if (answer && answer.ok && (await answer.json()).at) {
        notice.querySelector(".arrived").hidden = false;
        notice.querySelector(".waiting").hidden = true;
        return;
      }
    }
    if (left > 0) setTimeout(ask, 3000);
  };
  ask();
})();
