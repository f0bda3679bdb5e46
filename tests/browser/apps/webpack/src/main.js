import { words } from './words.js';

const heading = document.querySelector('h1');
const button = document.querySelector('button');
let clicks = 0;

heading.textContent = words;
button.onclick = () => {
  clicks += 1;
  button.textContent = `clicked ${clicks} times`;
};
if (module.hot) {
  module.hot.accept('./words.js', () => {
    heading.textContent = words;
  });
}
