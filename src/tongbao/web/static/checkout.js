// The checkout page's own script. The page works without it; with it, fields are checked as they are typed, a refused
// card need not be typed again, and the page turns to the result by itself. It talks to its own server only.
"use strict";

const POLL_MS = 3000;
const POLL_OPEN_MS = 20000;
const RETURN_S = 10;
const SLOW_MS = 6000;

// ——— Times, in the reader's own zone ———

const MINUTE = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const FORMS = {
  minute: MINUTE,
  second: { ...MINUTE, second: "2-digit" },
  moment: { ...MINUTE, year: "numeric", month: "short", day: "numeric" },
};

function localTimes() {
  for (const time of document.querySelectorAll("time[data-show]")) {
    const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
    time.textContent = new Intl.DateTimeFormat(language, FORMS[time.dataset.show]).format(new Date(time.dateTime));
  }
}

// ——— Paying ———

let isPaying = false;

function setBusy(form, busy) {
  isPaying = busy;
  const button = one("[data-submit]", form);
  const text = one("span", button);
  if (!button.dataset.text) button.dataset.text = text.textContent;
  button.setAttribute("aria-disabled", String(busy));
  text.textContent = busy ? form.dataset.busy : button.dataset.text;
}

function tellProblem(text, isCertain = true) {
  const box = one("#problem");
  one("b", box).hidden = !isCertain;
  one("span", box).textContent = text;
  box.hidden = false;
  return box;
}

async function pay(form) {
  if (isPaying) return;
  const wrong = firstWrong(form);
  if (wrong) return void wrong.focus();
  setBusy(form, true);
  one("#problem").hidden = true;
  const slow = setTimeout(() => setSlow(true), SLOW_MS);
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    const told = await answer.json();
    if (told.go) {
      history.replaceState(null, "", told.go);
      await turn({ mayLeave: true });
    } else if (told.reload) {
      await turn({ problem: told.problem });
    } else {
      showRefusal(form, told);
    }
  } catch {
    setBusy(form, false);
    tellProblem(form.dataset.lost, false).focus(); // Whether it was begun is what the next press finds out.
  } finally {
    clearTimeout(slow);
    setSlow(false);
  }
}

function setSlow(isSlow) {
  const [calm, slow] = [one("#assurance"), one("#slow")];
  if (calm && slow) [calm.hidden, slow.hidden] = [isSlow, !isSlow];
}

function showRefusal(form, told) {
  setBusy(form, false);
  if (told.ticket) form.elements.ticket.value = told.ticket;
  const fields = Object.entries(told.fields || {});
  for (const [name, text] of fields) tellField(form.elements[name], text);
  const box = tellProblem(told.problem, told.certain !== false);
  if (fields.length) form.elements[fields[0][0]].focus();
  else box.focus();
}

// ——— Turning the page in place ———

async function turn({ mayLeave = false, problem = "" } = {}) {
  stopWatching();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const sheet = one("#sheet", fresh);
  if (!sheet) return void location.reload();
  const typed = new Map([...document.querySelectorAll(".field input")].map((input) => [input.name, input.value]));
  document.title = fresh.title;
  one("#sheet").replaceWith(document.adoptNode(sheet));
  isPaying = false;
  setUp();
  keep(typed);
  const box = one("#problem");
  if (problem && box) tellProblem(problem);
  one("#news").textContent = fresh.title;
  scrollTo(0, 0);
  if (box && !box.hidden) box.focus();
  const next = one("[data-next]");
  if (mayLeave && next) location.assign(next.href);
}

// After a refusal that another digit may mend, the rest of the card need not be typed again. (Only this page has it.)
function keep(typed) {
  const form = one("form[data-keep]");
  if (!form) return;
  for (const name of form.dataset.keep.split(" ")) {
    const input = form.elements[name];
    input.value = typed.get(name) || "";
    input.dispatchEvent(new Event("input"));
  }
}

// ——— News ———

let source = null;
let timer = 0;

function stopWatching() {
  if (source) source.close();
  source = null;
  clearTimeout(timer);
}

function watch(sheet) {
  stopWatching();
  const { live, mark, state } = sheet.dataset;
  if (!live) return;
  if (state === "open" || !window.EventSource) return void pollLater(sheet);
  source = new EventSource(`${live}/events?seen=${mark}`);
  source.addEventListener("change", () => turn().catch(() => pollLater(sheet)));
  source.addEventListener("error", () => {
    if (!source || source.readyState !== EventSource.CLOSED) return;
    source = null;
    pollLater(sheet);
  });
}

function pollLater(sheet) {
  clearTimeout(timer);
  timer = setTimeout(() => poll(sheet), sheet.dataset.state === "open" ? POLL_OPEN_MS : POLL_MS);
}

async function poll(sheet) {
  if (!sheet.isConnected) return;
  if (document.hidden || isPaying) return void pollLater(sheet);
  try {
    const { live, mark, state } = sheet.dataset;
    const told = await (await fetch(`${live}/state`, { headers: { Accept: "application/json" } })).json();
    // What is being typed is not swept away: an open page turns only when it can no longer be paid.
    if (told.state !== state || (state !== "open" && told.mark !== mark)) return void (await turn());
  } catch {
    // The connection is away: the next try will tell.
  }
  if (!source) pollLater(sheet);
}

// ——— Back to the shop ———

function setUpReturn() {
  const link = one("[data-return]");
  const line = one("[data-returning]");
  if (!link || !line) return;
  let left = RETURN_S;
  line.hidden = false;
  const say = () => { one("span", line).textContent = link.dataset.return.replace("{n}", left); };
  const ticking = setInterval(() => {
    if (!link.isConnected) return void clearInterval(ticking);
    left -= 1;
    if (left > 0) return void say();
    clearInterval(ticking);
    location.assign(link.href);
  }, 1000);
  const stay = () => { clearInterval(ticking); line.hidden = true; };
  one("[data-stay]").addEventListener("click", stay);
  for (const sign of ["keydown", "pointerdown", "wheel"]) document.addEventListener(sign, stay, { once: true, passive: true });
  say();
}

// ——— Beginning ———

function setUp() {
  localTimes();
  const form = one("form[data-pay]");
  if (form) {
    setUpFields(form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      pay(form);
    });
  }
  const print = one("[data-print]");
  if (print) {
    print.hidden = false;
    one("button", print).addEventListener("click", () => window.print());
  }
  setUpReturn();
  watch(one("#sheet"));
}

document.addEventListener("visibilitychange", () => {
  const sheet = one("#sheet");
  if (!document.hidden && sheet.dataset.live) poll(sheet);
});
addEventListener("pageshow", (event) => {
  // Brought back by the Back button: what it shows may long be over.
  if (event.persisted) location.reload();
});
setUp();
