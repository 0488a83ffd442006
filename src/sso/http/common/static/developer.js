// The page notices the first sign-in by itself. Without this file, a link checks.
// Whoever downloads a file while the page is still loading ends the loading, and with it every script and event that
// waits for its end. So this file is loaded with the form before, runs as soon as it is there, and starts by a timer.
(() => {
  let left = 200;
  const look = async (url) => {
    const answer = await fetch(url, AbortSignal.timeout ? { signal: AbortSignal.timeout(10000) } : {});
    return answer.ok && (await answer.json()).at;
  };
  const ask = async () => {
    const notice = document.querySelector("[data-watch]");
    if (!notice) {
      if (document.readyState !== "complete") setTimeout(ask, 100);
      return;
    }
    if (document.visibilityState === "visible") {
      left -= 1;
      if (await look(notice.dataset.watch).catch(() => null)) {
        notice.querySelector(".arrived").hidden = false;
        notice.querySelector(".waiting").hidden = true;
        return;
      }
    }
    if (left > 0) setTimeout(ask, 3000);
  };
  setTimeout(ask);
})();
