"""
A convolutional encoder
=======================

Images are passed to skvade as rows of pixels; an encoder of your own gives them their shape back.
It may end in any number of features: linear heads for the mean and the variance of the latent
code are put on it. The decoder maps codes to one output per pixel. Both are templates: every fit
trains copies, and shapes that do not fit are reported before training starts.

On images of 8 by 8 pixels this gains nothing: the default network of the first example finds the
digits better. The example only shows how it is done.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

from skvade import VaDEClustering
from skvade.inspection import ReconstructionDisplay
from skvade.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
X = (X / 16).astype("float32")

encoder = nn.Sequential(
    nn.Unflatten(1, (1, 8, 8)),
    nn.Conv2d(1, 32, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(64 * 4 * 4, 256),
    nn.ReLU(),
)
decoder = nn.Sequential(
    nn.Linear(10, 64 * 4 * 4),
    nn.ReLU(),
    nn.Unflatten(1, (64, 4, 4)),
    nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 1, kernel_size=3, padding=1),
    nn.Flatten(),
)

model = VaDEClustering(n_clusters=10, encoder=encoder, decoder=decoder, random_state=0).fit(X)
print(f"cluster sizes: {model.cluster_sizes_}")
print(f"accuracy, with labels read afterwards: {clustering_accuracy(y, model.labels_):.3f}")

# %%
# Digits, and what the network makes of their codes.

ReconstructionDisplay.from_estimator(model, X, image_shape=(8, 8))

# %%
# A decoder for other shapes is refused before anything is trained.

try:
    VaDEClustering(n_clusters=10, decoder=nn.Linear(10, 63)).fit(X)
except ValueError as error:
    print(f"\na decoder that does not fit:\n{error}")
plt.show()
