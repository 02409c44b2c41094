// Runs once for the short message after a change: it takes the change back, or goes by itself.
let going = 0;
watch('value', () => {
  clearTimeout(going);
  const told = element.querySelector('.dh-toast');
  if (told) going = setTimeout(() => told.remove(), 12000);
});
element.addEventListener('click', event => {
  if (event.target.closest('.dh-take-back')) trigger('undo', {});
});
