// Keeps the order page true without a reload: asks for news, and puts the new middle of the page in place.
"use strict";
(() => {
  const live = document.getElementById("live");
  let pace = Number(live.dataset.pace);
  let misses = 0;

  function show(news) {
    const open = [...live.querySelectorAll("details[open]")].map((details) => details.id);
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const place = focused?.closest("details")?.id;
    live.innerHTML = news.html; // our own server's, escaped there
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) (document.getElementById(place)?.querySelector("summary") ?? live.querySelector("a, button"))?.focus();
    live.classList.add("fresh");
    live.dataset.seen = news.seen;
    pace = news.pace;
  }

  async function ask() {
    if (document.hidden) return;
    try {
      const url = new URL(live.dataset.news, location.href);
      url.searchParams.set("seen", live.dataset.seen);
      const answer = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (answer.status === 200) show(await answer.json());
      misses = answer.ok ? 0 : misses + 1;
    } catch {
      misses += 1; // away for a moment: ask less often
    }
  }

  async function watch() {
    await ask();
    if (pace) setTimeout(watch, Math.min(pace * 2 ** misses, 30000));
  }

  document.addEventListener("visibilitychange", () => pace && ask());
  if (pace) setTimeout(watch, pace);
})();
