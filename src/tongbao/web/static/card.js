// Card fields: grouped and checked as they are typed. Loaded before checkout.js, which sends them.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const digitsOf = (text) => text.normalize("NFKC").replace(/\D/g, "");

// First digits by ISO/IEC 7812 issuer ranges. Only to name the brand and to group the digits; the acquirer decides.
const BRANDS = [
  ["Amex", /^3[47]/, [4, 10], 15, 4],
  ["Diners", /^3(?:0[0-5]|[689])/, [4, 10], 14, 3],
  ["Discover", /^6(?:011|4[4-9]|5)/, [4, 8, 12], 19, 3],
  ["JCB", /^35(?:2[89]|[3-8])/, [4, 8, 12], 16, 3],
  ["UnionPay", /^(?:62|81)/, [4, 8, 12, 16], 19, 3],
  ["Mastercard", /^(?:5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720))/, [4, 8, 12], 16, 3],
  ["Visa", /^4/, [4, 8, 12, 16], 19, 3],
];
const OTHER = ["", /^/, [4, 8, 12, 16], 19, 4];
const brandOf = (digits) => BRANDS.find(([, start]) => start.test(digits)) || OTHER;

function luhn(digits) {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    let value = Number(digits[digits.length - 1 - i]);
    if (i % 2) value = value > 4 ? value * 2 - 9 : value * 2;
    sum += value;
  }
  return sum % 10 === 0;
}

const WRONG = {
  number: (value) => {
    const digits = digitsOf(value);
    return digits.length < 12 || digits.length > 19 || !luhn(digits) ? "wrongNumber" : "";
  },
  expiry: (value) => {
    const digits = digitsOf(value);
    const month = Number(digits.slice(0, 2));
    const year = Number(digits.slice(2).padStart(4, "20"));
    if (!(digits.length === 4 || digits.length === 6) || month < 1 || month > 12) return "wrongExpiry";
    return new Date(year, month, 1) <= Date.now() - 43200000 ? "past" : "";
  },
  cvc: (value) => (/^\d{3,4}$/.test(digitsOf(value)) ? "" : "wrongCvc"),
};

// Write `text` into a field and keep the caret behind the same digit.
function rewrite(input, text) {
  if (input.value === text) return;
  const before = digitsOf(input.value.slice(0, input.selectionStart)).length;
  const atEnd = input.selectionStart === input.value.length;
  input.value = text;
  let place = 0;
  for (let seen = 0; place < text.length && seen < before; place++) if (/\d/.test(text[place])) seen++;
  if (document.activeElement === input) input.setSelectionRange(...(atEnd ? [text.length, text.length] : [place, place]));
}

const TIDY = {
  number: (input, form) => {
    const [name, , gaps, length] = brandOf(digitsOf(input.value));
    const digits = digitsOf(input.value).slice(0, length);
    rewrite(input, [...digits].map((digit, i) => (gaps.includes(i) ? " " : "") + digit).join(""));
    one("#brand").textContent = name === "UnionPay" ? form.dataset.unionpay : name;
  },
  expiry: (input, form, event) => {
    let digits = digitsOf(input.value).slice(0, 6);
    const isDeleting = event.inputType && event.inputType.startsWith("delete");
    if (/^[2-9]/.test(digits) || /^\s*\d\s*\//.test(input.value)) digits = "0" + digits;
    if (digits.length > 4 && !digits.slice(2).startsWith("20")) digits = digits.slice(0, 4);
    if (digits.length >= 2 && !(isDeleting && digits.length === 2)) digits = `${digits.slice(0, 2)} / ${digits.slice(2)}`;
    rewrite(input, digits);
  },
  cvc: (input) => rewrite(input, digitsOf(input.value).slice(0, 4)),
};

function tellField(input, text) {
  input.toggleAttribute("aria-invalid", Boolean(text));
  if (text) input.setAttribute("aria-invalid", "true");
  one(`#${input.id}-error`).textContent = text;
}

function setUpFields(form) {
  for (const input of form.querySelectorAll(".field input")) {
    const name = input.name;
    input.addEventListener("input", (event) => {
      TIDY[name](input, form, event);
      if (input.hasAttribute("aria-invalid") && !WRONG[name](input.value)) tellField(input, "");
    });
    input.addEventListener("blur", () => {
      if (input.value) tellField(input, form.dataset[WRONG[name](input.value)] || "");
    });
  }
}

function firstWrong(form) {
  let first = null;
  for (const input of form.querySelectorAll(".field input")) {
    const wrong = WRONG[input.name](input.value);
    tellField(input, form.dataset[wrong] || "");
    if (wrong && !first) first = input;
  }
  return first;
}
