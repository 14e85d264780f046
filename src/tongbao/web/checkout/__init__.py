"""The hosted checkout: from an order, by a choice of method and a confirmation, to a receipt.

``state`` says where a session stands (pure); ``queries`` reads what a page shows; ``offers`` says how it can be paid;
``pages`` shows it; ``paying`` takes the forms; ``arrivals`` receives shoppers who come from elsewhere.
"""
