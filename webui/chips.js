// Runs once for the parts of the query. The focus stays among them when one is left out.
element.addEventListener('click', event => {
  const button = event.target.closest('[data-part]');
  if (button) trigger('leave', {part: Number(button.dataset.part)});
  const change = event.target.closest('.dh-change');  // on a phone the query is a strip until somebody opens it
  if (change) change.setAttribute('aria-expanded', change.closest('.dh-chips').classList.toggle('dh-open'));
});
keepFocus('li:nth-last-child(2) [data-part]');
// The symbols of the paper, for whoever looks for them.
const symbols = {'dh-beta': 'β', 'dh-alpha-text': 'α of the text', 'dh-alpha-image': 'α of the image'};
document.addEventListener('pointerover', event => {
  const slider = event.target.closest?.('[id^=dh-beta], [id^=dh-alpha]');
  if (slider && symbols[slider.id]) slider.title = symbols[slider.id];
});
