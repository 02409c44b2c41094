// Runs once for the choice of what stands under each picture. It is remembered in this browser, and in the address.
element.addEventListener('click', event => {
  const chip = event.target.closest('[data-show]');
  if (!chip) return;
  const chosen = chip.getAttribute('aria-pressed') !== 'true';
  chip.setAttribute('aria-pressed', chosen);
  const pressed = [...element.querySelectorAll('[aria-pressed=true]')];
  if (chosen) pressed.filter(one => one !== chip).at(-1)?.after(chip);  // in the order in which they were chosen
  chip.focus();
  const show = [...element.querySelectorAll('[aria-pressed=true]')].map(one => one.dataset.show);
  try { localStorage.setItem('deephash.cards', show.join(',')); } catch { /* a browser that keeps nothing */ }
  trigger('cards', {show});
});
