// Runs once for the parts of the query. The focus stays among them when one is left out.
let left = null;
element.addEventListener('click', event => {
  const button = event.target.closest('[data-part]');
  if (!button) return;
  left = Number(button.dataset.part);
  trigger('leave', {part: left});
});
watch('value', () => {
  if (left === null) return;
  const buttons = element.querySelectorAll('[data-part]');
  if (buttons.length) buttons[Math.min(left, buttons.length - 1)].focus();
  left = null;
});
