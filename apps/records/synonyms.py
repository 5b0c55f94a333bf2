"""What the fields of the built-in datasets are called in files from other countries.

German, French, Spanish, Italian, Dutch, Polish, Russian. Words are compared without case, accents, spaces,
dots and dashes, and ä is a and ae: each is written once. A German “…nummer” stands for “…nr” and “…no”, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from apps.records.catalog import DatasetSpec

_ID = (
    "nr; no; nummer; kennung; schlüssel; identifiant; numéro; référence; identificador; código; "
    "número; codice; numero; nummer; sleutel; identyfikator; numer; kod; номер; код; "
    "идентификатор; ид"
)
_STATUS = "zustand; stand; statut; état; estado; situación; stato; toestand; stan; статус; состояние"
_NOTES = (
    "notiz; notizen; bemerkung; bemerkungen; anmerkung; anmerkungen; kommentar; remarque; "
    "remarques; commentaire; notas; observaciones; comentario; nota; osservazioni; "
    "commento; opmerking; opmerkingen; notitie; uwagi; notatka; komentarz; примечание; "
    "комментарий; заметки"
)
_TAGS = (
    "schlagworte; schlagwörter; stichworte; étiquettes; etiquetas; etichette; labels; "
    "etykiety; tagi; метки; теги"
)
_DESCRIPTION = (
    "beschreibung; description; descripción; descrizione; omschrijving; beschrijving; opis; описание"
)
_TITLE = (
    "titel; bezeichnung; betreff; titre; intitulé; objet; título; asunto; titolo; oggetto; "
    "onderwerp; tytuł; temat; название; тема; заголовок"
)
_PRIORITY = "priorität; dringlichkeit; priorité; prioridad; priorità; prioriteit; priorytet; приоритет"
_CATEGORY = "kategorie; gruppe; catégorie; categoría; categoria; categorie; kategoria; категория"
_ASSIGNED = (
    "zuständig; bearbeiter; verantwortlich; sachbearbeiter; responsable; assigné à; "
    "asignado a; responsabile; assegnato a; verantwoordelijke; toegewezen aan; "
    "odpowiedzialny; przypisany do; ответственный; исполнитель"
)
_CLIENT = (
    "kunde; kundennummer; kunden id; mandant; mandantennummer; auftraggeber; firma; "
    "client; n° client; numéro client; code client; cliente; código cliente; "
    "código de cliente; codice cliente; klant; klantnummer; klantnr; klient; kontrahent; "
    "numer klienta; клиент; код клиента; номер клиента; контрагент"
)
_EMAIL = (
    "e mail adresse; mailadresse; courriel; adresse e-mail; mél; correo; "
    "correo electrónico; indirizzo email; posta elettronica; e-mailadres; adres e-mail; "
    "poczta; электронная почта; почта; эл почта; имейл"
)
_PHONE = (
    "telefon; telefonnummer; tel; rufnummer; handy; mobil; mobiltelefon; handynummer; "
    "téléphone; portable; numéro de téléphone; teléfono; móvil; telefono; cellulare; "
    "telefoon; telefoonnummer; mobiel; numer telefonu; komórka; телефон; мобильный; "
    "номер телефона"
)
_NAME = (
    "name; nom; nom complet; nombre completo; nombre; nome; nome completo; naam; "
    "volledige naam; nazwisko i imię; imię i nazwisko; имя; фио"
)
_ORDERED = (
    "bestelldatum; auftragsdatum; rechnungsdatum; belegdatum; datum; date de commande; "
    "date commande; date facture; date; fecha; fecha de pedido; fecha factura; "
    "data ordine; data fattura; data; orderdatum; besteldatum; factuurdatum; "
    "data zamówienia; data faktury; дата; дата заказа; дата счета"
)
_LOCAL_NAME = (
    "bezeichnung; artikel; artikelbezeichnung; produkt; produktname; produit; désignation; "
    "libellé; nom du produit; producto; artículo; nombre del producto; denominación; "
    "prodotto; articolo; denominazione; nome prodotto; product; productnaam; artikelnaam; "
    "produkt; nazwa; nazwa produktu; товар; наименование; название"
)

ABROAD: dict[str, dict[str, str]] = {
    "clients": {
        "external_id": (
            "kundennummer; kunden id; kdnr; mandantennummer; debitor; debitorennummer; "
            f"adressnummer; {_ID}; n° client; numéro client; code client; código cliente; "
            "código de cliente; número de cliente; codice cliente; numero cliente; klantnummer; "
            "klantnr; debiteurnummer; numer klienta; nr klienta; kod klienta; код клиента; "
            "номер клиента"
        ),
        "name": (
            "firma; firmenname; firmenbezeichnung; kunde; kundenname; mandant; unternehmen; "
            f"{_NAME}; entreprise; société; raison sociale; client; empresa; razón social; cliente; "
            "azienda; ragione sociale; ditta; bedrijf; bedrijfsnaam; klant; klantnaam; nazwa; "
            "nazwa firmy; klient; kontrahent; компания; организация; наименование; клиент; "
            "название"
        ),
        "kind": "art; kundenart; typ; type de client; tipo; soort; rodzaj; тип; вид",
        "status": _STATUS,
        "email": _EMAIL,
        "phone": _PHONE,
        "website": (
            "webseite; internetseite; internet; site web; site internet; sitio web; página web; "
            "sito; sito web; strona www; strona internetowa; сайт; веб сайт"
        ),
        "tax_number": (
            "steuernummer; ust id; ustidnr; umsatzsteuer id; umsatzsteuernummer; uid; mwst nummer; "
            "numéro de tva; n° tva; tva intracommunautaire; siret; nif; cif; número fiscal; "
            "partita iva; p iva; codice fiscale; btw nummer; btw nr; nip; numer nip; инн"
        ),
        "address": (
            "adresse; anschrift; straße; straße und hausnummer; str; adresse postale; rue; voie; "
            "dirección; domicilio; calle; indirizzo; via; adres; straat; ulica; адрес; улица"
        ),
        "postcode": (
            "postleitzahl; plz; code postal; cp; código postal; cap; codice postale; kod pocztowy; "
            "индекс; почтовый индекс"
        ),
        "city": (
            "stadt; ort; wohnort; ville; commune; localité; ciudad; localidad; población; città; "
            "comune; località; stad; plaats; woonplaats; miasto; miejscowość; город; "
            "населенный пункт"
        ),
        "country": "land; staat; pays; país; paese; nazione; stato; kraj; państwo; страна",
        "currency": "währung; devise; monnaie; moneda; divisa; valuta; waluta; валюта",
        "credit_limit": (
            "kreditlimit; kreditrahmen; kreditlinie; limite de crédit; plafond de crédit; "
            "límite de crédito; limite di credito; fido; kredietlimiet; limit kredytowy; "
            "кредитный лимит; лимит кредита"
        ),
        "since": (
            "seit; kunde seit; angelegt; angelegt am; erstellt am; eintrittsdatum; depuis; "
            "client depuis; créé le; date de création; desde; cliente desde; fecha de alta; dal; "
            "cliente dal; sinds; klant sinds; od; klient od; с; клиент с; дата регистрации"
        ),
        "tags": _TAGS,
        "notes": _NOTES,
    },
    "contacts": {
        "external_id": f"kontaktnummer; kontakt id; {_ID}",
        "name": (
            f"ansprechpartner; kontakt; kontaktname; {_NAME}; contact; interlocuteur; contacto; "
            "persona de contacto; contatto; referente; contactpersoon; kontakt; osoba kontaktowa; "
            "контакт; контактное лицо"
        ),
        "first_name": "vorname; prénom; nombre de pila; primer nombre; voornaam; imię; имя",
        "last_name": (
            "nachname; familienname; zuname; nom de famille; apellido; apellidos; cognome; "
            "achternaam; nazwisko; фамилия"
        ),
        "email": _EMAIL,
        "phone": _PHONE,
        "job_title": (
            "position; funktion; stelle; beruf; berufsbezeichnung; poste; fonction; cargo; puesto; "
            "ruolo; posizione; mansione; functie; stanowisko; должность"
        ),
        "client": _CLIENT,
        "birthday": (
            "geburtstag; geburtsdatum; geb datum; geboren am; date de naissance; naissance; "
            "fecha de nacimiento; cumpleaños; data di nascita; geboortedatum; data urodzenia; "
            "дата рождения; день рождения"
        ),
        "subscribed": (
            "newsletter; abonniert; werbung erlaubt; abonné; suscrito; boletín; iscritto; "
            "geabonneerd; nieuwsbrief; subskrypcja; подписка; рассылка"
        ),
        "notes": _NOTES,
    },
    "cases": {
        "external_id": (
            "fallnummer; vorgangsnummer; aktenzeichen; az; ticketnummer; dossier; n° dossier; "
            "expediente; pratica; numero pratica; dossiernummer; zaaknummer; numer sprawy; "
            f"sygnatura; номер дела; {_ID}"
        ),
        "title": _TITLE,
        "client": _CLIENT,
        "case_type": (
            "art; fallart; vorgangsart; typ; type de dossier; tipo; tipo di pratica; soort; rodzaj; тип; вид"
        ),
        "status": _STATUS,
        "priority": _PRIORITY,
        "assigned_to": _ASSIGNED,
        "opened_on": (
            "eröffnet; eröffnet am; angelegt am; beginn; ouvert le; date d'ouverture; "
            "fecha de apertura; abierto el; aperto il; data apertura; geopend op; data otwarcia; "
            "дата открытия; открыто"
        ),
        "closed_on": (
            "geschlossen; geschlossen am; abgeschlossen am; erledigt am; fermé le; clos le; "
            "date de clôture; fecha de cierre; cerrado el; chiuso il; data chiusura; gesloten op; "
            "data zamknięcia; дата закрытия; закрыто"
        ),
        "budget": "budget; streitwert; presupuesto; bilancio; budżet; бюджет",
        "description": _DESCRIPTION,
        "tags": _TAGS,
    },
    "documents": {
        "external_id": f"dokumentnummer; belegnummer; {_ID}",
        "title": f"dokument; {_TITLE}",
        "category": _CATEGORY,
        "case": "fall; akte; vorgang; dossier; expediente; pratica; zaak; sprawa; дело",
        "client": _CLIENT,
        "filename": (
            "dateiname; datei; nom du fichier; fichier; archivo; nombre de archivo; nome file; "
            "bestand; bestandsnaam; nazwa pliku; plik; имя файла; файл"
        ),
        "size": "größe; dateigröße; taille; tamaño; dimensione; grootte; rozmiar; размер",
        "uploaded_at": (
            "hochgeladen am; ajouté le; fecha de subida; caricato il; geüpload op; data dodania; "
            "дата загрузки"
        ),
        "uploaded_by": (
            "hochgeladen von; ajouté par; subido por; caricato da; geüpload door; dodane przez; кем загружен"
        ),
        "tags": _TAGS,
    },
    "tasks": {
        "external_id": f"aufgabennummer; {_ID}",
        "title": f"aufgabe; tâche; tarea; attività; taak; zadanie; задача; {_TITLE}",
        "status": _STATUS,
        "priority": _PRIORITY,
        "assigned_to": _ASSIGNED,
        "case": "fall; akte; vorgang; dossier; expediente; pratica; zaak; sprawa; дело",
        "due_on": (
            "fällig; fällig am; fälligkeit; fälligkeitsdatum; frist; termin; bis; échéance; "
            "date d'échéance; à faire pour; vencimiento; fecha de vencimiento; fecha límite; "
            "scadenza; data scadenza; vervaldatum; deadline; uiterlijk; termin; data wykonania; "
            "срок; крайний срок; дата выполнения"
        ),
        "started_at": (
            "begonnen; beginn; start; débuté le; inicio; iniciado el; inizio; iniziato il; "
            "gestart op; rozpoczęto; начато; начало"
        ),
        "completed_at": (
            "erledigt; erledigt am; abgeschlossen am; terminé le; finalizado el; completado el; "
            "completato il; voltooid op; zakończono; завершено; выполнено"
        ),
        "estimate_hours": (
            "aufwand; stunden; geschätzte stunden; heures estimées; horas estimadas; ore stimate; "
            "geschatte uren; szacowane godziny; часы; оценка часов"
        ),
        "description": _DESCRIPTION,
        "tags": _TAGS,
    },
    "users": {
        "external_id": (
            "personalnummer; mitarbeiternummer; matricule; número de empleado; matricola; "
            f"personeelsnummer; numer pracownika; табельный номер; {_ID}"
        ),
        "name": (
            "mitarbeiter; benutzer; employé; utilisateur; empleado; usuario; dipendente; utente; "
            f"medewerker; gebruiker; pracownik; użytkownik; сотрудник; пользователь; {_NAME}"
        ),
        "email": _EMAIL,
        "username": (
            "benutzername; anmeldename; kennung; nom d'utilisateur; identifiant; "
            "nombre de usuario; nome utente; gebruikersnaam; nazwa użytkownika; логин; "
            "имя пользователя"
        ),
        "role": "rolle; rôle; rol; ruolo; rola; роль",
        "department": (
            "abteilung; bereich; service; département; departamento; reparto; afdeling; dział; "
            "отдел; подразделение"
        ),
        "manager": (
            "vorgesetzter; vorgesetzte; leiter; supérieur; responsable; jefe; capo; responsabile; "
            "leidinggevende; przełożony; руководитель"
        ),
        "phone": _PHONE,
        "timezone": (
            "zeitzone; fuseau horaire; zona horaria; fuso orario; tijdzone; strefa czasowa; часовой пояс"
        ),
        "active": "aktiv; actif; activo; attivo; actief; aktywny; активен; активный",
        "hired_on": (
            "eintritt; eintrittsdatum; eingestellt am; date d'embauche; embauché le; "
            "fecha de contratación; fecha de alta; data di assunzione; in dienst sinds; "
            "data zatrudnienia; дата приема; принят"
        ),
    },
    "gps_data": {
        "device": (
            "gerät; fahrzeug; appareil; véhicule; dispositivo; vehículo; veicolo; apparaat; "
            "voertuig; urządzenie; pojazd; устройство; машина"
        ),
        "recorded_at": (
            "zeit; zeitpunkt; zeitstempel; horodatage; heure; fecha y hora; hora; ora; data e ora; "
            "tijdstip; tijd; czas; время; дата и время"
        ),
        "latitude": (
            "breite; breitengrad; latitud; latitudine; breedtegraad; szerokość geograficzna; широта"
        ),
        "longitude": "länge; längengrad; longitud; longitudine; lengtegraad; długość geograficzna; долгота",
        "altitude": "höhe; altitud; altitudine; quota; hoogte; wysokość; высота",
        "speed": "geschwindigkeit; tempo; vitesse; velocidad; velocità; snelheid; prędkość; скорость",
        "heading": "richtung; kurs; cap; rumbo; direzione; koers; kierunek; направление; курс",
        "accuracy": "genauigkeit; précision; precisión; precisione; nauwkeurigheid; dokładność; точность",
        "event": "ereignis; événement; evento; gebeurtenis; zdarzenie; событие",
        "driver": "fahrer; conducteur; chauffeur; conductor; autista; bestuurder; kierowca; водитель",
    },
    "products": {
        "sku": (
            "artikelnummer; artnr; art nr; produktnummer; materialnummer; référence; réf; "
            "code article; référencia; código de artículo; codice articolo; codice prodotto; "
            f"artikelcode; productnummer; numer artykułu; indeks; артикул; код товара; {_ID}"
        ),
        "name": _LOCAL_NAME,
        "category": f"warengruppe; produktgruppe; famille; familia; {_CATEGORY}",
        "brand": (
            "marke; hersteller; marque; fabricant; marca; fabricante; produttore; merk; marka; "
            "producent; бренд; марка; производитель"
        ),
        "status": _STATUS,
        "barcode": (
            "strichcode; ean code; gtin; code barres; código de barras; codice a barre; "
            "streepjescode; kod kreskowy; штрихкод"
        ),
        "price": (
            "preis; verkaufspreis; vk; vk preis; einzelpreis; betrag; prix; prix de vente; "
            "prix unitaire; precio; precio de venta; pvp; prezzo; prezzo di vendita; prijs; "
            "verkoopprijs; cena; cena sprzedaży; цена; стоимость"
        ),
        "cost": (
            "einkaufspreis; ek; ek preis; kosten; prix d'achat; coût; coste; costo; "
            "precio de compra; prezzo di acquisto; inkoopprijs; kostprijs; koszt; cena zakupu; "
            "себестоимость; закупочная цена"
        ),
        "stock": (
            "bestand; lagerbestand; menge; anzahl; quantité; stock disponible; existencias; "
            "cantidad; giacenza; quantità; scorte; voorraad; aantal; stan magazynowy; ilość; "
            "остаток; количество"
        ),
        "unit": (
            "einheit; me; mengeneinheit; unité; unidad; unità; unità di misura; eenheid; "
            "jednostka; jm; единица; ед изм"
        ),
        "weight_kg": "gewicht; gewicht kg; poids; poids kg; peso; peso kg; waga; waga kg; вес; масса",
        "released_on": (
            "erscheinungsdatum; erschienen; veröffentlicht am; date de sortie; "
            "fecha de lanzamiento; data di uscita; verschijningsdatum; data premiery; "
            "дата выпуска"
        ),
        "description": _DESCRIPTION,
    },
    "orders": {
        "number": (
            "bestellnummer; auftragsnummer; rechnungsnummer; belegnummer; n° commande; "
            "numéro de commande; n° facture; numéro de facture; número de pedido; "
            "número de factura; numero ordine; numero fattura; ordernummer; bestelnummer; "
            "factuurnummer; numer zamówienia; numer faktury; nr faktury; номер заказа; "
            f"номер счета; {_ID}"
        ),
        "client": _CLIENT,
        "status": _STATUS,
        "ordered_at": _ORDERED,
        "total": (
            "betrag; summe; gesamt; gesamtbetrag; gesamtsumme; bruttobetrag; brutto; "
            "rechnungsbetrag; montant; montant total; montant ttc; total ttc; importe; "
            "importe total; importo; totale; totale fattura; bedrag; totaalbedrag; totaal; kwota; "
            "suma; razem; wartość; сумма; итого; всего"
        ),
        "tax": (
            "mwst; ust; mehrwertsteuer; umsatzsteuer; steuer; steuerbetrag; tva; montant tva; "
            "taxe; iva; impuesto; imposta; btw; btw bedrag; podatek; vat; ндс; налог"
        ),
        "payment_method": (
            "zahlungsart; zahlart; zahlungsweise; mode de paiement; moyen de paiement; "
            "forma de pago; método de pago; metodo di pagamento; betaalwijze; betaalmethode; "
            "sposób płatności; metoda płatności; способ оплаты"
        ),
        "shipping_address": (
            "lieferadresse; lieferanschrift; versandadresse; adresse de livraison; "
            "dirección de envío; dirección de entrega; indirizzo di spedizione; "
            "indirizzo di consegna; afleveradres; bezorgadres; adres dostawy; адрес доставки"
        ),
        "shipped_at": (
            "versandt am; versanddatum; geliefert am; lieferdatum; expédié le; date d'expédition; "
            "date de livraison; fecha de envío; fecha de entrega; spedito il; data di spedizione; "
            "verzonden op; leverdatum; data wysyłki; дата отправки; дата доставки"
        ),
        "notes": _NOTES,
    },
    "schedules": {
        "external_id": f"vorgangsnummer; {_ID}",
        "name": f"vorgang; aufgabe; vorgangsname; tâche; tarea; attività; taak; zadanie; задача; {_NAME}",
        "project": "projekt; projet; proyecto; progetto; project; проект",
        "status": _STATUS,
        "start": (
            "anfang; beginn; startdatum; début; date de début; inicio; fecha de inicio; inizio; "
            "data inizio; begin; begindatum; początek; data rozpoczęcia; начало; дата начала"
        ),
        "finish": (
            "ende; enddatum; fin; date de fin; fecha de fin; fine; data fine; einde; einddatum; "
            "koniec; data zakończenia; окончание; конец; дата окончания"
        ),
        "duration_hours": (
            "dauer; dauer stunden; durée; duración; durata; duur; czas trwania; длительность; "
            "продолжительность"
        ),
        "percent_complete": (
            "fortschritt; prozent abgeschlossen; avancement; progreso; avance; avanzamento; "
            "voortgang; postęp; прогресс; процент выполнения"
        ),
        "predecessors": (
            "vorgänger; prédécesseurs; predecesores; predecessori; voorgangers; poprzednicy; предшественники"
        ),
        "resource": (
            "ressource; ressourcen; ressources; recurso; recursos; risorsa; risorse; resource; "
            "zasób; zasoby; ресурс; ресурсы"
        ),
        "milestone": "meilenstein; jalon; hito; pietra miliare; traguardo; mijlpaal; kamień milowy; веха",
    },
}


def known_abroad(spec: DatasetSpec) -> DatasetSpec:
    """The dataset, with what its fields are called in other languages among their synonyms."""
    words = ABROAD.get(spec.name, {})
    fields = tuple(
        replace(field, synonyms=tuple(dict.fromkeys((*field.synonyms, *_spelled(words.get(field.name, ""))))))
        for field in spec.fields
    )
    return replace(spec, fields=fields)


def _spelled(words: str) -> Iterator[str]:
    for word in filter(None, map(str.strip, words.split(";"))):
        yield word
        if word.endswith("nummer") and word != "nummer":
            stem = word.removesuffix("nummer").strip()
            yield f"{stem} nr"
            yield f"{stem} no"
